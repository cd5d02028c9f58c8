"""The HTTP server: webhooks of desks, and health."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from handrail.errors import (
    ConfigError,
    Conflict,
    HandrailError,
    InputError,
    NotFound,
    SignatureError,
    Unsupported,
)

if TYPE_CHECKING:
    from handrail.rail import Handrail

MAX_WEBHOOK_BYTES = 1_000_000
"""Larger webhooks are refused with 413."""
_DRAIN_BYTES = 16 * MAX_WEBHOOK_BYTES
"""So much of a body that is too large is read and dropped, so that its sender gets to see the answer."""
_BODY_SECONDS = 30
"""How long a body may take to arrive."""
_SETTLERS = 8
"""Webhooks that are turned into updates at the same time; the others wait, their intake does not."""

_STATUS: Mapping[type[HandrailError], int] = {
    SignatureError: 401,
    NotFound: 404,
    Unsupported: 404,
    InputError: 400,
    Conflict: 409,
}

log = logging.getLogger("handrail.server")


def app(rail: Handrail) -> Starlette:
    """The ASGI application that serves ``rail``."""
    application = Starlette(
        routes=[
            Route("/v1/desks/{desk}/webhook", _webhook, methods=["POST"]),
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
        ],
        exception_handlers={HTTPException: _http_error, HandrailError: _handrail_error},
    )
    application.state.rail = rail
    application.state.stopping = False
    application.state.settlers = asyncio.Semaphore(_SETTLERS)
    return application


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An RFC 9457 answer. ``detail`` names the field and the cure, and no secret."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def _webhook(request: Request) -> Response:
    desk: str = request.path_params["desk"]
    rail: Handrail = request.app.state.rail
    body = await _body(request, MAX_WEBHOOK_BYTES)
    try:
        hook_id = await run_in_threadpool(rail.receive, desk, dict(request.headers), body)
    except SignatureError as error:
        log.warning("a webhook for desk %r was refused: %s", desk, error)
        raise
    except NotFound as error:
        log.warning("a webhook was refused: %s", error)
        return problem(404, "there is no such desk")  # anybody may ask: the names of the others are ours
    except Exception as error:
        return await _handrail_error(request, error)
    return JSONResponse({"id": hook_id}, background=BackgroundTask(_settle, request.app, hook_id))


async def _body(request: Request, limit: int) -> bytes:
    """The raw body. 413 beyond ``limit`` bytes, whatever Content-Length says; 408 when it takes too long."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            if _announced(request) <= _DRAIN_BYTES:
                async for chunk in request.stream():
                    size += len(chunk)
                    body += chunk if size <= limit else b""
                    if size > _DRAIN_BYTES:
                        break
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection closed before the whole body arrived") from None
    if size > limit or _announced(request) > limit:
        raise HTTPException(413, f"the body has more than {limit:,} bytes", {"Connection": "close"})
    return bytes(body)


def _announced(request: Request) -> int:
    """What Content-Length says, 0 where it says nothing."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def _settle(application: Starlette, hook_id: str) -> None:
    """Turn a stored webhook into updates now. Where this fails, a job does it later."""
    async with application.state.settlers:
        try:
            await run_in_threadpool(application.state.rail.settle, hook_id)
        except Exception as error:
            log.warning("webhook %s waits for the worker: %s", hook_id, _named(error))


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    """Ready when the store answers and the worker, where there is one, is well; until the server stops."""
    if request.app.state.stopping:
        return problem(503, "this server is being stopped")
    try:
        await run_in_threadpool(request.app.state.rail.list, limit=1)
    except Exception as error:
        log.error("not ready: %s", _named(error))
        return problem(503, "the store does not answer")
    if not request.app.state.rail.is_well:
        return problem(503, "the worker of this server does not come round; its log says why")
    return JSONResponse({"status": "ok"})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


async def _handrail_error(request: Request, error: Exception) -> Response:
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return problem(status, str(error))
    return await _broken(request, error)


async def _broken(request: Request, error: Exception) -> Response:
    """Ours to mend: the sender is asked to come again."""
    log.error("%s %s failed: %s", request.method, request.url.path, _named(error))
    return problem(503, "this could not be stored now; send it again", {"Retry-After": "30"})


def _named(error: Exception) -> str:
    """An error for the log: what we raised says all, of others only the kind, as they may quote anything."""
    return str(error) if isinstance(error, HandrailError) else type(error).__name__


def serve(
    rail: Handrail,
    host: str,
    port: int,
    worker: bool = True,
    announce: Callable[[str], None] = log.info,
) -> None:
    """Serve until SIGTERM or SIGINT. ``announce`` is told the address once it is listened on."""
    listener = _listen(host, port)
    server = _server(app(rail))
    before = {n: signal.signal(n, server.stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        with rail.working() if worker else nullcontext(), listener:
            announce(_address(host, listener))
            server.run(sockets=[listener])
        if server.interrupted:
            raise KeyboardInterrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port"
        ) from None


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _server(application: Starlette) -> Any:
    """A uvicorn server that stops by ``stop`` and leaves the process's signals to us."""
    import uvicorn

    class Server(uvicorn.Server):
        interrupted = False

        def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
            return nullcontext()

        def stop(self, number: int, _frame: Any) -> None:
            """A second signal does not wait for answers that are under way."""
            self.interrupted = number == signal.SIGINT
            self.force_exit = self.should_exit
            self.should_exit = application.state.stopping = True

    return Server(
        uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=10,
        )
    )
