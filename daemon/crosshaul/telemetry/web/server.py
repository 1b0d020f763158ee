"""The HTTP server. Read-only: it answers GET and HEAD, and no request changes anything."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from crosshaul.errors import CrosshaulError, ListenError
from crosshaul.model import Record
from crosshaul.telemetry import logs
from crosshaul.telemetry.failure_streak import is_power_of_two
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.history import Sample
from crosshaul.telemetry.metrics import CONTENT_TYPE
from crosshaul.telemetry.web.connections import ConnectionLimit, HttpConnection, accept, listen
from crosshaul.telemetry.web.guard import TRUSTED, by_local_name, with_token
from crosshaul.telemetry.web.page import icon, render
from crosshaul.telemetry.web.problems import PageData

_DEADLINE_SECONDS = 5.0
_LISTEN_RETRY_SECONDS = 2.0
"""After the first failure; it grows by as much with each further one."""
_MAX_LISTEN_RETRY_SECONDS = 60.0
_STYLE, _SCRIPT = ((Path(__file__).parent / name).read_text("utf-8") for name in ("page.css", "page.js"))
_SECURITY_HEADERS = {
    "Server": "crosshaul",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class PageSources:
    """The sources of the responses. ``status`` returns a ``telemetry.status.snapshot``."""

    live: Callable[[], HealthReport]
    ready: Callable[[], Awaitable[HealthReport]]
    metrics: Callable[[], bytes]
    status: Callable[[], Awaitable[Mapping[str, Any]]]
    samples: Callable[[], Sequence[Sample]]
    sending: Callable[[], Awaitable[Sequence[Record]]]
    waiting: Callable[[], Awaitable[Sequence[Record]]]
    failed: Callable[[], Awaitable[Sequence[Record]]]


@asynccontextmanager
async def serving(
    host: str, port: int, sources: PageSources, token: str | None = None, *, local: bool = True
) -> AsyncIterator[int]:
    """Serve during the block; yields the port in use (``port`` may be 0). Raises ListenError.

    ``local``: ``host`` is a loopback address. Elsewhere ``token`` is required.
    """
    listening = await asyncio.to_thread(_listen, host, port)
    guards = [*([by_local_name(host)] if local else []), with_token(token)]
    runner = web.AppRunner(_application(guards, sources), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    server, limit = runner.server, ConnectionLimit(logs.get("http"))
    assert server is not None  # noqa: S101 - it was set up
    accepting = [
        asyncio.create_task(accept(listener, lambda: HttpConnection(server, limit), limit), name="http")
        for listener in listening
    ]
    try:
        yield cast("int", listening[0].getsockname()[1])
    finally:
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        for listener in listening:
            listener.close()
        await runner.cleanup()


@asynccontextmanager
async def serving_when_possible(
    host: str, port: int, sources: PageSources, token: str | None = None, *, local: bool = True
) -> AsyncIterator[None]:
    """Serve during the block as ``serving`` does, but retry while the address can't be listened on."""
    served = asyncio.Event()
    keeping = asyncio.create_task(_keep_serving(served, host, port, sources, token, local=local), name="pages")
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await served.wait()
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep_serving(
    tried: asyncio.Event, host: str, port: int, sources: PageSources, token: str | None, *, local: bool
) -> None:
    log, failures = logs.get("http"), 0
    while True:
        try:
            async with serving(host, port, sources, token, local=local) as bound:
                log.info("listening", host=host, port=bound, failures=failures)
                tried.set()
                await asyncio.Event().wait()
        except ListenError as error:
            failures += 1
            if is_power_of_two(failures):
                log.warning("not_listening", error=str(error), failures=failures)
        tried.set()
        await asyncio.sleep(min(_LISTEN_RETRY_SECONDS * failures, _MAX_LISTEN_RETRY_SECONDS))


def _listen(host: str, port: int) -> list[socket.socket]:
    try:
        return listen(host, port)
    except (OSError, OverflowError) as error:
        raise ListenError(_listen_error(host, port, error)) from error


def _listen_error(host: str, port: int, error: OSError | OverflowError) -> str:
    where = f"http.listen: {_address(host, port)}"
    match error:
        case socket.gaierror():
            return f"{where}: the name {host} can't be resolved; write an address, such as 127.0.0.1."
        case OSError(errno=errno.EADDRINUSE):
            return f"{where} is in use by another program; stop that program, or set another port (null = no HTTP)."
        case OSError(errno=errno.EACCES | errno.EPERM):
            return f"{where}: not permitted; ports below 1024 are reserved for root, set a higher one."
        case OSError(errno=errno.EADDRNOTAVAIL):
            return f"{where}: this machine has no address {host}; set one of its addresses, or 0.0.0.0 for all."
    return f"{where} can't be listened on: {error}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _application(guards: Sequence[Middleware], sources: PageSources) -> web.Application:
    application = web.Application(middlewares=[*guards, _with_deadline], client_max_size=1024)
    application.on_response_prepare.append(_add_security_headers)
    handlers = _Handlers(sources)
    application.add_routes(
        [
            web.get("/livez", handlers.livez),
            web.get("/readyz", handlers.readyz),
            web.get("/metrics", handlers.metrics),
            web.get("/status.json", handlers.status),
            web.get("/", handlers.page),
            web.get("/page.css", handlers.style),
            web.get("/page.js", handlers.script),
            web.get("/{mood:good|warn|bad}.svg", handlers.icon),
        ]
    )
    return application


async def _add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SECURITY_HEADERS)


@web.middleware
async def _with_deadline(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            return await handler(request)
    except TimeoutError:
        return web.Response(status=503, text=f"The daemon did not answer within {_DEADLINE_SECONDS:.0f} s.\n")
    except CrosshaulError as error:
        return web.Response(status=503, text=f"{error}\n")


class _Handlers:
    def __init__(self, sources: PageSources) -> None:
        self._sources = sources

    async def livez(self, request: web.Request) -> web.Response:
        return _health_response(self._sources.live(), with_reasons=request[TRUSTED])

    async def readyz(self, request: web.Request) -> web.Response:
        return _health_response(await self._sources.ready(), with_reasons=request[TRUSTED])

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._sources.metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def status(self, _request: web.Request) -> web.Response:
        status = await self._sources.status()
        return web.json_response(status, dumps=lambda status: json.dumps(status, indent=2) + "\n")

    async def page(self, _request: web.Request) -> web.Response:
        sources = self._sources
        data = PageData(
            await sources.status(),
            sources.live(),
            await sources.ready(),
            sources.samples(),
            await sources.sending(),
            await sources.waiting(),
            await sources.failed(),
        )
        return web.Response(text=render(data), content_type="text/html")

    async def style(self, _request: web.Request) -> web.Response:
        return web.Response(text=_STYLE, content_type="text/css")

    async def script(self, _request: web.Request) -> web.Response:
        return web.Response(text=_SCRIPT, content_type="text/javascript")

    async def icon(self, request: web.Request) -> web.Response:
        return web.Response(text=icon(request.match_info["mood"]), content_type="image/svg+xml")


def _health_response(report: HealthReport, *, with_reasons: bool) -> web.Response:
    lines = ["ok" if report.ok else "not ok", *(report.reasons if with_reasons else ())]
    return web.Response(status=200 if report.ok else 503, text="\n".join(lines) + "\n")
