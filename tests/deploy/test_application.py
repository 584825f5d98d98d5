"""The server as its clients see it: answers equal to offline predictions, and the right refusal for everything else."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from served import Held, Served, classifier_of, cpu, request, served

from ulmfit.classifier import TextClassifier
from ulmfit.deploy.application import authorised
from ulmfit.ensemble import Ensemble
from ulmfit.insight.explain import explain
from ulmfit.outputs import BoundedNumber, MultiLabel
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.calibration import Calibration

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

SECRET = "what nobody else may read"


@pytest.fixture(scope="module")
def classifier(tokenizer: Tokenizer) -> TextClassifier:
    return classifier_of(tokenizer)


@pytest.fixture(scope="module")
def server(classifier: TextClassifier) -> Iterator[Served]:  # pyright: ignore[reportIncompatibleVariableOverride]
    with served(classifier, max_body_kb=4, max_words=50, max_queue=80) as server:
        yield server
    assert server.said == []


def assert_problem(answer: Any, status: int) -> str:
    assert answer.status == status and answer.headers["content-type"] == "application/json"
    assert answer.json.keys() == {"error"} and answer.json["error"]["status"] == status
    return answer.json["error"]["message"]


# Answers


def test_one_or_many_as_offline(
    server: Served, classifier: TextClassifier, reviews: list[Document]
) -> None:
    texts = [d.text for d in reviews][:30]
    wanted = classifier.predict(texts, cpu())
    answer = server.ask("/predict", {"texts": texts})
    assert answer.status == 200 and answer.json.keys() == {"predictions"}
    alone = [server.ask("/predict", {"text": text}).json for text in texts[:5]]
    for found in (answer.json["predictions"], alone):
        for ours, offline in zip(found, wanted, strict=False):
            assert ours == {**asdict(offline), "probability": pytest.approx(offline.probability, abs=1e-6),
                "probabilities": pytest.approx(offline.probabilities, abs=1e-6)}  # fmt: skip


def test_words_are_weighed_as_offline(server: Served, classifier: TextClassifier) -> None:
    text = "The plot 😀 is superb,\nthe cast awful."
    for more in ({}, {"label": "bad"}, {"method": "gradient"}):
        found = server.ask("/explain", {"text": text, **more}).json
        wanted = json.loads(json.dumps(asdict(explain(classifier, text, runtime=cpu(), **more))))
        weights = [word.pop("weight") for word in wanted["words"]]
        assert [word.pop("weight") for word in found["words"]] == pytest.approx(weights, abs=1e-4)
        assert found == pytest.approx(wanted | {"words": None}) or found["words"] == wanted["words"]
        assert found["label"] == wanted["label"] and found["method"] == wanted["method"]


@pytest.mark.parametrize(
    "outputs", [MultiLabel(("funny", "long", "sad")), BoundedNumber(1.0, 5.0)], ids=str
)
def test_other_kinds_of_label(tokenizer: Tokenizer, outputs: Any) -> None:
    classifier = classifier_of(tokenizer, outputs)
    with served(classifier) as server:
        found = server.ask("/predict", {"text": "a superb film"}).json
        wanted = json.loads(json.dumps(asdict(classifier.predict("a superb film", cpu()))))
        assert found.keys() == wanted.keys()
        assert found.get("value") == pytest.approx(wanted.get("value"))
        assert found.get("labels") == wanted.get("labels")
        message = assert_problem(server.ask("/explain", {"text": "a superb film"}), 422)
        assert "one class per text" in message


def test_ensembles_and_what_is_unsure(tokenizer: Tokenizer) -> None:
    forward, backward = classifier_of(tokenizer), classifier_of(tokenizer)
    backward.config = replace(backward.config, direction="backward")
    both = Ensemble([forward, backward])
    both.calibration = Calibration(2.0, {"bad": None, "good": None})
    with served(both) as server:
        found = server.ask("/predict", {"text": "a superb film"}).json
        assert found["sure"] is False
        assert found["probability"] == pytest.approx(
            both.predict("a superb film", cpu()).probability
        )
        assert len(server.ask("/explain", {"text": "a superb film"}).json["words"]) == 3


def test_health_metrics_and_headers(server: Served) -> None:
    health = server.ask("/health")
    assert health.json == {"status": "ok", "model": "tiny", "predicts": "one of 2 classes per text"}
    server.ask("/predict", {"text": "fine"})
    counts = server.ask("/metrics")
    assert counts.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'ulmfit_requests_total{endpoint="/predict",status="200"}' in counts.body
    assert b"process_resident_memory_bytes" in counts.body and b"ulmfit_waiting" in counts.body
    for path in ("/", "/health", "/metrics", "/openapi.json", "/nosuch"):
        headers = server.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store" and "server" not in headers


# Refusals


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nosuch", "GET", 404),
        ("/predict/", "POST", 404),
        ("//predict", "POST", 404),
        ("/../../etc/passwd", "GET", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", "GET", 404),
        ("/predict%00", "POST", 404),
        ("/page.js", "GET", 404),
        ("/predict", "GET", 405),
        ("/explain", "DELETE", 405),
        ("/", "POST", 405),
    ],
)
def test_there_is_nothing_else(server: Served, path: str, method: str, status: int) -> None:
    body = {"text": "a"} if method == "POST" else None
    answer = server.ask(path, body, method)
    assert "/openapi.json" in assert_problem(answer, status)
    assert status != 405 or answer.headers["allow"]


def test_bodies_that_are_refused(server: Served) -> None:
    for sent, status, reason in (
        (b"{", 400, "not JSON"),
        (b'{"text": "\xff"}', 400, "not UTF-8"),
        ({"text": " "}, 422, "blank"),
        ({"texts": ["a"] * 81}, 422, "1 to 80"),
        ({"text": "a " * 51}, 422, "51 words"),
    ):
        assert reason in assert_problem(server.ask("/predict", sent), status)
        assert_problem(server.ask("/explain", sent), status)
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = server.ask("/predict", {"text": "a"}, Content_Type=kind)
        assert "application/json" in assert_problem(answer, 415)
    packed = server.ask("/predict", {"text": "a"}, Content_Encoding="gzip")
    assert "uncompressed" in assert_problem(packed, 415)
    utf8 = server.ask("/predict", {"text": "a"}, Content_Type="Application/JSON; charset=utf-8")
    assert utf8.status == 200


def test_a_body_is_read_no_further_than_its_limit(server: Served) -> None:
    exactly = json.dumps({"text": "a"}).encode().ljust(4096)
    assert server.ask("/predict", exactly).status == 200
    assert "4 KiB" in assert_problem(server.ask("/predict", exactly + b" "), 413)
    parts = iter([exactly, b" "])
    assert "4 KiB" in assert_problem(server.ask("/predict", parts), 413)
    with server.line(request("/predict", {})[:-2].replace(b": 2", b": 99999999999999")) as line:
        assert line.recv(99).startswith(b"HTTP/1.1 413")  # at once: nothing of it has been sent


def test_the_token(classifier: TextClassifier) -> None:
    question = {"text": "fine"}
    with served(classifier, token="right-token") as server:
        for told in (
            {},
            {"Authorization": "Bearer wrong-token"},
            {"Authorization": "Bearer right-toke"},
            {"Authorization": "Bearer right-token-and-more"},
            {"Authorization": "Basic right-token"},
            {"Authorization": "right-token"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer \xff"},
        ):
            for path in ("/predict", "/explain", "/metrics", "/nosuch"):
                answer = server.ask(
                    path, question if path in ("/predict", "/explain") else None, **told
                )
                assert "token" in assert_problem(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
        told = {"Authorization": "bearer right-token"}
        assert server.ask("/predict", question, **told).status == 200
        assert server.ask("/metrics", **told).status == 200
        for path in ("/", "/health", "/openapi.json"):
            assert server.ask(path).status == 200


def test_tokens_are_compared_whole() -> None:
    assert authorised([(b"authorization", b"Bearer abc")], "abc")
    assert not authorised(
        [(b"authorization", b"Bearer ab"), (b"authorization", b"Bearer abc")], "abc"
    )
    assert not authorised([], "abc")


def test_full_late_and_slow() -> None:
    held = Held()
    with served(held, max_queue=2, max_batch=1, timeout_s=0.5) as server:
        held.hold()
        with server.line(request("/predict", {"text": "a"})) as first:
            server.wait_for(held.began.is_set)
            with server.line(request("/predict", {"texts": ["b", "c"]})):
                server.wait_for(lambda: len(server.service._predicting) == 2)
                full = server.ask("/predict", {"text": "d"})
                assert "waiting" in assert_problem(full, 503) and full.headers["retry-after"] == "1"
            assert b" 504 " in first.recv(99)
        held.go.set()
        whole = request("/predict", {"text": "odd"})
        with server.line(whole[:-3]) as slow:  # the rest never comes
            assert b" 408 " in slow.recv(99)
        assert server.ask("/predict", {"text": "odd"}).json["label"] == "odd"


def test_what_goes_wrong_inside_is_told_without_the_text() -> None:
    class Broken(Held):
        def probabilities(self, texts: Any, *_: object, **__: object) -> Any:
            if SECRET in (texts := list(texts)):
                raise ValueError(f"can't read {texts}")
            return super().probabilities(texts)

    with served(Broken()) as server:
        message = assert_problem(server.ask("/predict", {"texts": ["odd", SECRET]}), 500)
        assert SECRET not in message
        server.wait_for(lambda: server.said)
        (said,) = server.said
        assert said.startswith("error: ValueError in ") and SECRET not in said
        assert server.ask("/predict", {"text": "odd"}).json["label"] == "odd"
