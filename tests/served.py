"""A classifier behind a real server on 127.0.0.1, in a thread; and clients, well-behaved or not."""

import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any, NamedTuple

import numpy as np
import torch
from tiny import TINY

from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.config import ClassifierConfig, RuntimeConfig, ServeConfig
from ulmfit.deploy.server import listen, server_of
from ulmfit.deploy.service import Service
from ulmfit.language_model import LanguageModel
from ulmfit.outputs import Outputs, SingleLabel
from ulmfit.runtime import Runtime
from ulmfit.text.tokenizer import Tokenizer

PATIENCE = 60  # seconds; a busy machine may take some


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in small letters
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """What runs, and how to ask it."""

    def __init__(self, service: Service, server: Any, port: int) -> None:
        self.service, self.server, self.port = service, server, port
        self.said: list[str] = []

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
        """A request on a connection of its own. `body`: bytes, an iterator of them (sent in chunks), or what becomes JSON."""
        told = {"Content-Type": "application/json"} if body is not None else {}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        plain = body is None or isinstance(body, bytes | Iterator)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"),
                path,
                body if plain else json.dumps(body).encode(),
                told,
            )
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    @contextmanager
    def line(self, *sent: bytes) -> Iterator[socket.socket]:
        """A plain connection, on which `sent` has been sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line:
            for part in sent:
                line.sendall(part)
            yield line

    def wait_for(self, condition: Any) -> None:
        """Until a condition holds."""
        end = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < end, "it never came to that"
            sleep(0.005)


class Held(Classifier):
    """Predicts the number of characters' parity, once it is let go."""

    outputs: Outputs = SingleLabel(("even", "odd"))

    def __init__(self) -> None:
        self.go, self.began = Event(), Event()
        self.go.set()

    def hold(self) -> None:
        self.go.clear()
        self.began.clear()

    def probabilities(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, progress: str = ""
    ) -> np.ndarray:
        self.began.set()
        assert self.go.wait(PATIENCE)
        odd = np.array([len(text) % 2 for text in texts], np.float32)
        return np.stack([1 - odd, odd], 1)


def answer_on(line: socket.socket) -> Answer:
    """The next answer on a plain connection; nothing behind it is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = line.recv(1)
        assert byte, f"the connection ended: {head!r}"
        head += byte
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in lines)}
    body = b""
    while len(body) < int(headers["content-length"]):
        body += line.recv(int(headers["content-length"]) - len(body))
    return Answer(int(first.split()[1]), headers, body)


def request(path: str, question: Any, *more: str) -> bytes:
    """A whole request, to be sent as it is or in parts."""
    body = json.dumps(question).encode()
    head = [
        f"POST {path} HTTP/1.1",
        "Host: here",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def classifier_of(
    tokenizer: Tokenizer, labels: tuple[str, ...] | Outputs = ("bad", "good")
) -> TextClassifier:
    """Random weights, but large enough to disagree about texts."""
    torch.manual_seed(0)
    classifier = TextClassifier.create(
        LanguageModel.create(tokenizer, TINY), labels, ClassifierConfig()
    )
    with torch.no_grad():
        for parameter in classifier.net.parameters():
            parameter.mul_(4).add_(0.05 * torch.randn_like(parameter))
    return classifier


def cpu() -> Runtime:
    return Runtime.choose(RuntimeConfig(device="cpu"))


@contextmanager
def served(classifier: Classifier, token: str | None = None, **limits: Any) -> Iterator[Served]:
    """Running inside the block; stopped behind it as by SIGTERM."""
    config = ServeConfig(port=0, **limits)
    with listen(config) as listening, Service(classifier, cpu(), config, "tiny") as service:
        found = Served(service, None, listening.getsockname()[1])
        server = found.server = server_of(service, token, found.said.append)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            found.wait_for(lambda: server.started)
            yield found
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
