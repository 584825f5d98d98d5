"""A web server on 127.0.0.1 whose files and faults a test decides."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class LocalServer:
    """Serves `files` by name. It can close the line early, or refuse to send parts of a file."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.cut_after: int | None = None  # bytes of an answer, then the line is closed
        self.ranges = True  # whether parts are sent when asked for
        self.asked: list[tuple[str, str | None]] = []  # name, Range header

    def put(self, name: str, content: bytes) -> str:
        """The address of a new file."""
        self.files[name] = content
        return f"{self.address}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name, wanted = request.path.strip("/"), request.headers["Range"]
        self.asked.append((name, wanted))
        if name not in self.files:
            return request.send_error(404)
        content, start = self.files[name], 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return request.send_error(416)
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:][: self.cut_after])


@contextmanager
def local_server() -> Iterator[LocalServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = LocalServer(f"http://127.0.0.1:{http.server_port}")
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        http.shutdown()
        thread.join()
