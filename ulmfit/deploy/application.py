"""A `Service` as an ASGI application: routes, limits, token; every error is JSON, and every response is counted."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from ulmfit.config import ServeConfig
from ulmfit.deploy.messages import Refused, problem, question_of, texts_of
from ulmfit.deploy.openapi import OPEN, describe
from ulmfit.deploy.page import page
from ulmfit.deploy.service import Service
from ulmfit.progress import Say, silent

if TYPE_CHECKING:
    from starlette.requests import Request

ASGI = Callable[..., Any]

EVERYWHERE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


def application(service: Service, token: str | None = None, say: Say = silent) -> ASGI:
    """The ASGI application. `say` is told the type and code location of internal errors, never the text that caused them."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    limits, outputs = service.limits, service.classifier.outputs
    html, policy = page()
    described = describe(outputs, limits, token=token is not None)

    async def home(request: "Request") -> Response:
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(html, headers=headers)

    async def health(request: "Request") -> Response:
        status, word = (200, "ok") if service.healthy else (503, "broken: start it again")
        body = {"status": word, "model": service.name, "predicts": str(outputs)}
        return JSONResponse(body, status)

    async def metrics(request: "Request") -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(request: "Request") -> Response:
        return JSONResponse(described)

    async def predict(request: "Request") -> Response:
        texts, single = texts_of(await body_of(request, limits), limits)
        predictions = [asdict(prediction) for prediction in await service.predict(texts)]
        return JSONResponse(predictions[0] if single else {"predictions": predictions})

    async def explain(request: "Request") -> Response:
        question = question_of(await body_of(request, limits), limits, outputs.labels)
        return JSONResponse(asdict(await service.explain(question)))

    async def refuse(request: "Request", error: Exception) -> Response:
        if isinstance(error, Refused):
            return JSONResponse(problem(error.status, error.message), error.status, error.headers)
        if not isinstance(error, HTTPException):
            return JSONResponse(problem(500, "an error in the server, not in the request"), 500)
        # from the router: unknown path, or wrong method
        status, paths = error.status_code, ", ".join(described["paths"])
        message = f"{error.detail}; the paths (see /openapi.json) are {paths}"
        return JSONResponse(problem(status, message), status, error.headers)

    routes = [
        Route("/", home),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/predict", predict, methods=["POST"]),
        Route("/explain", explain, methods=["POST"]),
    ]
    handlers = dict.fromkeys((Refused, HTTPException, Exception), refuse)
    inner = Starlette(routes=routes, exception_handlers=handlers)
    inner.router.redirect_slashes = False
    return _watched(inner, {route.path for route in routes}, service, token, say)


async def body_of(request: "Request", limits: ServeConfig) -> bytes:
    """The request's body, read up to its size limit. `Refused`: 408, 413, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or "content-encoding" in request.headers:
        raise Refused(415, "expected uncompressed JSON with Content-Type: application/json")
    most, body = limits.max_body_kb * 1024, bytearray()
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise Refused(413, f"the body is larger than {limits.max_body_kb} KiB")
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise Refused(413, f"the body is larger than {limits.max_body_kb} KiB")
    except TimeoutError:
        problem = f"the body did not arrive within {limits.timeout_s:g} s"
        raise Refused(408, problem, Connection="close") from None
    return bytes(body)


def authorised(headers: list[tuple[bytes, bytes]], token: str) -> bool:
    """Whether a request has the token; compared in constant time, so that timing reveals nothing about it."""
    given = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, credentials = given.partition(b" ")
    right = secrets.compare_digest(credentials.strip(), token.encode())
    return right and scheme.lower() == b"bearer"


def _watched(inner: ASGI, paths: set[str], service: Service, token: str | None, say: Say) -> ASGI:
    """`inner` behind a check of the token; counts every response, and logs no tracebacks."""
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        begun, status, path = perf_counter(), 0, scope["path"]

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = message | {"headers": [*message["headers"], *EVERYWHERE]}
            await send(message)

        try:
            if token and path not in OPEN and not authorised(scope["headers"], token):
                wrong = problem(
                    401, "the token is missing or wrong; send Authorization: Bearer TOKEN"
                )
                answer = JSONResponse(wrong, 401, {"WWW-Authenticate": "Bearer"})
                await answer(scope, receive, noted)
            else:
                await inner(scope, receive, noted)
        except ClientDisconnect:  # before the request was complete
            status = 400
        except Exception as error:  # answered with 500 already; uvicorn would log its message
            where = extract_tb(error.__traceback__)[-1]
            say(f"error: {type(error).__name__} in {where.filename}, line {where.lineno}")
        finally:
            known = path if path in paths else "other"
            service.metrics.answered(known, status, perf_counter() - begun)

    return watched
