"""`serve`: listens until it is told to stop, then answers all accepted requests."""

import errno
import signal
import socket
from ipaddress import ip_address
from typing import Any

from ulmfit.classifier import Classifier
from ulmfit.config import ServeConfig
from ulmfit.deploy.application import application
from ulmfit.deploy.connection import connection_class
from ulmfit.deploy.service import Service
from ulmfit.progress import Say, silent
from ulmfit.runtime import Runtime


def serve(
    classifier: Classifier,
    runtime: Runtime | None = None,
    limits: ServeConfig = ServeConfig(),
    *,
    token: str | None = None,
    name: str = "",
    say: Say = silent,
) -> None:
    """Listens until SIGTERM or SIGINT, then answers all accepted requests and returns. Needs the extra `serve`, and to be called
    in the main thread. `token`: secret that requests must send as `Authorization: Bearer …`, except for the page, /health and
    /openapi.json.

    OSError: the address can't be listened on. ValueError: a token that no header can carry.
    """
    _need_packages()
    check_token(token)
    with (
        listen(limits) as listening,
        Service(classifier, runtime or Runtime.choose(), limits, name) as service,
    ):
        server = server_of(service, token, say)

        def stop(*_: object) -> None:
            server.should_exit = True

        where = address_of(listening)
        say(f"{name or 'classifier'}: {classifier.outputs}, at {where} (Ctrl-C stops it)")
        if not token and not ip_address(listening.getsockname()[0]).is_loopback:
            say("warning: anyone who can reach this address can use it; set a token (ULMFIT_TOKEN)")
        # uvicorn has its own handlers, but raises the signal again when it has ended
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            server.run(sockets=[listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    say("stopped; all accepted requests were answered")


def listen(limits: ServeConfig) -> socket.socket:
    """A listening socket at `host` and `port`. OSError: no such address on this machine, or the port is taken."""
    try:
        family = socket.getaddrinfo(limits.host, limits.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((limits.host, limits.port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {limits.port} is in use; give another with --port") from None
        raise OSError(f"can't listen at {limits.host} port {limits.port}: {error}") from None


def _need_packages() -> None:
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"serve needs {error.name}, which is missing: "
            "pip install starlette uvicorn prometheus-client"
        ) from None


def address_of(listening: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def check_token(token: str | None) -> None:
    """ValueError unless the token is None, or printable ASCII without spaces and not empty."""
    if token is not None and not (
        token.isascii() and token.isprintable() and token.split() == [token]
    ):
        raise ValueError("a token must be printable ASCII without spaces, and not empty")


def server_of(service: Service, token: str | None = None, say: Say = silent) -> Any:
    """The `uvicorn.Server`, not running yet."""
    import uvicorn

    timeout = service.limits.timeout_s
    protocol = connection_class(timeout, lambda status: service.metrics.answered("none", status, 0))
    config = uvicorn.Config(
        application(service, token, say),
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # `say` reports what matters
        access_log=False,  # a URL's query may contain text
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, int(timeout)),
        timeout_graceful_shutdown=int(2 * timeout) + 1,  # for a body to arrive, and its answer
    )
    return uvicorn.Server(config)
