"""A client's connection: a subclass of uvicorn's that adds deadlines, a limit on connections, errors as JSON, answers to clients
that have closed their sending side, and no lost answer when the server stops."""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus

from ulmfit.deploy.messages import problem

CONNECTIONS = 500  # open at the same time
LINGER = 2.0  # seconds in which the rest of a refused body is read and discarded, so that the client gets the refusal
GRACE = 0.1  # seconds for a request already on its way when the server stops


def connection_class(timeout_s: float, refused: Callable[[int], object]) -> type[asyncio.Protocol]:
    """A class for `uvicorn.Config(http=…)`. `timeout_s`: for a request's head to arrive, and for its answer to be fetched.
    `refused` is told the status of requests that are answered here and never reach the application."""
    import h11
    from uvicorn.protocols.http.flow_control import CLOSE_HEADER
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        _arriving: asyncio.TimerHandle | None = None  # runs while a request is incomplete
        _fetched: asyncio.TimerHandle | None = None  # runs while an answer waits to be read
        _last = False  # the server is stopping: close after this request

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)
            if len(self.connections) > CONNECTIONS:
                return self._refuse(503, "too many connections; try again soon")
            self._arriving = self.loop.call_later(timeout_s, self._late)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._cancel_timers()

        def data_received(self, data: bytes) -> None:
            lingered = self.conn.our_state is h11.DONE
            super().data_received(data)
            if self._last:
                self._end_after_answer()
            incomplete = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
            # after the end of a refused body the next request begins, with a new deadline
            begins = lingered and self.conn.our_state is not h11.DONE
            if self._arriving and (begins or not incomplete):
                self._arriving.cancel()
                self._arriving = None
            if incomplete and not self._arriving and not self.transport.is_closing():
                self._arriving = self.loop.call_later(timeout_s, self._late)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._cancel_timers()
            if self.conn.their_state is h11.SEND_BODY:  # refused before its body was complete
                self._arriving = self.loop.call_later(LINGER, self._late)
            if self.transport.get_write_buffer_size():
                self._fetched = self.loop.call_later(timeout_s, self._unread)

        def eof_received(self) -> bool | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """The client has closed its sending side; if a complete request is being answered, it may still read."""
            waits = self._in_work() and not self.cycle.more_body
            self._end_after_answer()
            return waits

        def shutdown(self) -> None:
            self._last = True
            if self._in_work():
                self._end_after_answer()
            else:
                self.loop.call_later(GRACE, self._end_if_idle)

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, "this is not HTTP/1.1")

        def _in_work(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _end_after_answer(self) -> None:
            if self._in_work() and self.cycle.keep_alive:
                self.cycle.keep_alive = False
                if not self.cycle.response_started:
                    self.cycle.default_headers = [*self.cycle.default_headers, CLOSE_HEADER]

        def _end_if_idle(self) -> None:
            if not self._in_work() and not self.transport.is_closing():
                super().shutdown()

        def _late(self) -> None:
            self._arriving = None
            if not self._in_work():  # otherwise the application's own deadline applies
                self._refuse(408, f"the request did not arrive within {timeout_s:g} s")

        def _unread(self) -> None:
            if self.transport.get_write_buffer_size():
                self.transport.abort()

        def _refuse(self, status: int, message: str) -> None:
            """Answer, if no answer has begun, and close."""
            begun = self._in_work()
            if begun:  # the application waits for the body: let it see the disconnect, and count it
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = json.dumps(problem(status, message)).encode()
                headers = [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                    CLOSE_HEADER,
                ]
                reason = HTTPStatus(status).phrase.encode()
                head = h11.Response(status_code=status, headers=headers, reason=reason)
                for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
                if not begun:
                    refused(status)
            self.transport.close()

        def _cancel_timers(self) -> None:
            for timer in (self._arriving, self._fetched):
                if timer is not None:
                    timer.cancel()
            self._arriving = self._fetched = None

    return Connection
