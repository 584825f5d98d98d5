"""Listening and stopping; and 50 clients, none of whom gets a wrong answer."""

import asyncio
import signal
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from served import classifier_of, cpu, served

from benchmarks.serve_load import load, server, stopped
from ulmfit.config import ServeConfig
from ulmfit.deploy import server as module
from ulmfit.deploy.server import address_of, check_token, listen
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

pytest.importorskip("uvicorn")


def test_fifty_clients_get_what_offline_prediction_says(
    tokenizer: Tokenizer, reviews: list[Document]
) -> None:
    classifier, texts = classifier_of(tokenizer), [d.text for d in reviews]
    wanted = [asdict(found) for found in classifier.predict(texts, cpu())]
    with served(classifier, timeout_s=300) as running:
        found = asyncio.run(load(running.port, texts, wanted, clients=50, seconds=1.5))
        running.wait_for(lambda: not running.server.server_state.connections)
    assert len(found.latencies) > 50 and found.wrong == found.unanswered == 0
    assert found.errors == {} and found.largest_difference < 1e-5
    assert running.said == []


def test_sigterm_under_load(tokenizer: Tokenizer, reviews: list[Document], tmp_path: Path) -> None:
    classifier, texts = classifier_of(tokenizer), [d.text for d in reviews]
    classifier.save(tmp_path / "c")
    wanted = [asdict(found) for found in classifier.predict(texts, cpu())]
    with server(str(tmp_path / "c"), ["--threads", "1"]) as (process, port):
        found = asyncio.run(stopped(process, port, texts, wanted, after=0.5))
        assert process.stderr
        said = process.stderr.read()
    assert found["exit_code"] == 0 and found["errors"] == {} and found["wrong"] == 0
    assert found["requests"] > 20 and found["stopped_after"] < 30
    assert said == "stopped; all accepted requests were answered\n"  # nothing of the texts


def test_where_it_listens() -> None:
    with listen(ServeConfig(port=0)) as first:
        assert address_of(first) == f"http://127.0.0.1:{first.getsockname()[1]}/"
        with pytest.raises(OSError, match=r"in use; give another with --port"):
            listen(ServeConfig(port=first.getsockname()[1]))
    with pytest.raises(OSError, match=r"can't listen at 192\.0\.2\.1"):
        listen(ServeConfig(host="192.0.2.1", port=0))
    if socket.has_ipv6:
        try:
            with listen(ServeConfig(host="::1", port=0)) as sixth:
                assert address_of(sixth).startswith("http://[::1]:")
        except OSError:
            pass  # a machine without IPv6


@pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "é", "\0"])
def test_tokens_that_no_header_carries(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        check_token(token)
    check_token("aA0-._~+/=")
    check_token(None)


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [("127.0.0.1", None, False), ("0.0.0.0", None, True), ("0.0.0.0", "secret", False)],
)
def test_a_warning_where_anyone_may_come(
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    token: str | None,
    warned: bool,
) -> None:
    class Stopped:
        should_exit = False

        def run(self, sockets: list[socket.socket]) -> None:
            signal.raise_signal(signal.SIGINT)
            assert self.should_exit

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(module, "server_of", lambda *_: Stopped())
    said: list[str] = []
    limits = ServeConfig(host=host, port=0)
    module.serve(classifier_of(tokenizer), cpu(), limits, token=token, name="tiny", say=said.append)
    assert said[0].startswith(f"tiny: one of 2 classes per text, at http://{host}:")
    assert any("warning" in line for line in said) == warned and len(said) == 2 + warned
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
