"""Clients that are slow, rude, or gone; and a stop that loses nobody's request."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from time import monotonic

import pytest
from served import PATIENCE, Held, Served, answer_on, request, served

from ulmfit.deploy import connection

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

ODD = request("/predict", {"text": "odd"})
HEALTH = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(Held(), timeout_s=0.4, max_body_kb=64) as server:
        yield server
    assert server.said == []


def test_what_is_no_http_is_told_so(server: Served) -> None:
    chunked = ODD.replace(b"Content-Length: 15", b"Transfer-Encoding: chunked")
    twice = ODD.replace(b"Host: here", b"Host: here\r\nContent-Length: 3")
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nA: " + b"a" * 70_000,
        chunked + b"\r\n",  # a body that is none
        twice,
    ):
        with server.line(sent) as line:
            answer = answer_on(line)
            assert answer.status == 400 and answer.json["error"]["status"] == 400, sent[:50]
            assert line.recv(9) == b""


def test_each_refusal_is_counted_once() -> None:
    counted = 'ulmfit_requests_total{{endpoint="{}",status="400"}} 1.0'
    broken = ODD.replace(b"Content-Length: 15", b"Transfer-Encoding: chunked")
    for sent, endpoint, other in ((broken, "/predict", "none"), (b"HELLO", "none", "/predict")):
        with served(Held()) as server:
            with server.line(sent + b"\r\n\r\n") as line:
                assert answer_on(line).status == 400
            counts = server.service.metrics.text
            server.wait_for(lambda c=counts, e=endpoint: counted.format(e) in c().decode())
            assert f'endpoint="{other}"' not in counts().decode()


def test_heads_that_do_not_come(server: Served) -> None:
    for sent in (b"", b"GET /health HTTP/1.1\r\nHost:"):
        with server.line(sent) as line:
            answer = answer_on(line)
            assert answer.status == 408 and "0.4 s" in answer.json["error"]["message"]
            assert line.recv(9) == b""
    with server.line(HEALTH) as line:  # the second request of a connection
        assert answer_on(line).status == 200
        line.sendall(HEALTH[:9])
        assert answer_on(line).status == 408


def test_bytes_that_drip_are_no_excuse(server: Served) -> None:
    with server.line(HEALTH[:5]) as line:
        line.settimeout(0.02)
        for _ in range(3000):  # a minute
            line.sendall(b"a")
            try:
                heard = line.recv(12)
                break
            except TimeoutError:
                continue
        assert heard == b"HTTP/1.1 408"


def test_who_has_closed_his_side_still_gets_his_answer(server: Served) -> None:
    with server.line(ODD) as line:
        line.shutdown(socket.SHUT_WR)
        answer = answer_on(line)
        assert answer.json["label"] == "odd" and answer.headers["connection"] == "close"
        assert line.recv(9) == b""
    for part in (ODD[:-3], HEALTH[:9], b""):  # of half a request there is nothing to say
        with server.line(part) as line:
            line.shutdown(socket.SHUT_WR)
            assert line.recv(9) == b""


def test_who_has_gone_leaves_nothing_behind(server: Served) -> None:
    for part in (ODD, ODD[:-3], HEALTH[:9], b""):
        with server.line(part):
            pass
    server.wait_for(lambda: not server.server.server_state.connections)


def test_a_refusal_arrives_though_the_body_is_still_being_sent(server: Served) -> None:
    large = b'{"text": "' + b"a" * 8_000_000 + b'"}'
    for body in (large, iter([large[:4_000_000], large[4_000_000:]])):
        answer = server.ask("/predict", body)
        assert answer.status == 413


def test_the_rest_of_a_refused_body_is_not_read_for_ever(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.1)
    head = ODD[:-15].replace(b": 15", b": 99999999999")
    with server.line(head) as line:
        assert answer_on(line).status == 413
        with pytest.raises(OSError):
            while True:
                line.sendall(b"a" * 65536)


def test_who_sends_the_rest_of_a_refused_body_has_all_the_time_for_the_next_request(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER", PATIENCE / 2)  # it shows which of the times runs
    with server.line(ODD[:-15].replace(b": 15", b": 70000")) as line:
        assert answer_on(line).status == 413
        begun = monotonic()
        line.sendall(b"a" * 70_000 + HEALTH[:9])
        assert answer_on(line).status == 408 and monotonic() - begun < PATIENCE / 2


def test_answers_that_nobody_fetches(server: Served) -> None:
    with server.line() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        many = b"GET /openapi.json HTTP/1.1\r\nHost: here\r\n\r\n" * 2000
        sender = Thread(target=_send, args=(line, many))
        sender.start()
        server.wait_for(lambda: server.server.server_state.connections)
        server.wait_for(lambda: not server.server.server_state.connections)
        sender.join()


def _send(line: socket.socket, sent: bytes) -> None:
    with suppress(OSError):  # the server has hung up
        line.sendall(sent)


def test_requests_may_come_together_and_announce_their_body(server: Served) -> None:
    with server.line(ODD + HEALTH + request("/predict", {"text": "even"})) as line:
        assert answer_on(line).json["label"] == "odd"
        assert answer_on(line).json["status"] == "ok"
        assert answer_on(line).json["label"] == "even"
    expecting = request("/predict", {"text": "odd"}, "Expect: 100-continue")
    with server.line(expecting[:-15]) as line:
        assert line.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(expecting[-15:])
        assert answer_on(line).json["label"] == "odd"


def test_too_many_connections(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    server.wait_for(lambda: not server.server.server_state.connections)
    monkeypatch.setattr(connection, "CONNECTIONS", 1)
    with server.line(HEALTH) as first:
        assert answer_on(first).status == 200
        with server.line() as second:
            assert answer_on(second).status == 503
        first.sendall(HEALTH)
        assert answer_on(first).status == 200


def test_a_stop_answers_what_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "GRACE", 1.0)
    held = Held()
    with served(held, max_batch=2) as server:
        with server.line() as idle, server.line(HEALTH) as between, server.line() as waiting:
            assert answer_on(between).status == 200
            held.hold()
            lines = [
                waiting,
                *(socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)),
            ]
            for number, line in enumerate(lines):
                line.sendall(request("/predict", {"text": "a" * (number + 1)}))
            server.wait_for(lambda: len(server.service._predicting) == 3 and held.began.is_set())
            server.server.should_exit = True
            server.wait_for(lambda: not server.server.servers[0].is_serving())
            between.sendall(ODD)  # on its way when the server stopped
            held.go.set()
            for number, line in enumerate(lines):
                answer = answer_on(line)
                assert answer.json["label"] == ("odd", "even")[number % 2]
                assert answer.headers["connection"] == "close"
                line.close()
            assert answer_on(between).json["label"] == "odd"
            assert idle.recv(9) == b""
        with pytest.raises(OSError):
            server.ask("/health")
    assert server.said == []


def test_a_body_that_arrives_while_it_stops_is_told_once_that_this_is_the_end() -> None:
    with served(Held()) as server, server.line(ODD[:-3]) as line:
        server.wait_for(lambda: server.server.server_state.tasks)
        server.server.should_exit = True
        server.wait_for(lambda: not server.server.servers[0].is_serving())
        line.sendall(ODD[-3:])
        heard = b""
        while part := line.recv(4096):
            heard += part
        assert heard.startswith(b"HTTP/1.1 200") and heard.count(b"connection: close") == 1
