"""Serves what it is given. Read-only: GET and HEAD, nothing that a request could change."""

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
from crosshaul.telemetry.web.connections import ConnectionLimit, PageConnection, accept, listen
from crosshaul.telemetry.web.guard import TRUSTED, by_local_name, with_token
from crosshaul.telemetry.web.page import icon, render
from crosshaul.telemetry.web.problems import PageData

_DEADLINE = 5.0
_LISTEN_AGAIN_SECONDS = 2.0
"""After the first failure; a multiple of it after each further one."""
_LISTEN_AGAIN_AT_LEAST_EACH_SECONDS = 60.0
_STYLE, _SCRIPT = ((Path(__file__).parent / name).read_text("utf-8") for name in ("page.css", "page.js"))
_SECURITY = {
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
    """Where the answers come from. ``status`` gives JSON's types, as ``telemetry.status.snapshot`` makes them."""

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
    """Serve until the block is left; gives the port in use (of interest when ``port`` is 0). Raises ListenError.

    ``local``: only this machine reaches ``host``. Where others do, ``token`` keeps them out.
    """
    listening = await asyncio.to_thread(_listen, host, port)
    guards = [*([by_local_name(host)] if local else []), with_token(token)]
    runner = web.AppRunner(_application(guards, sources), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    server, crowd = runner.server, ConnectionLimit(logs.get("http"))
    assert server is not None  # noqa: S101 - it was set up
    accepting = [
        asyncio.create_task(accept(each, lambda: PageConnection(server, crowd), crowd), name="http")
        for each in listening
    ]
    try:
        yield cast("int", listening[0].getsockname()[1])
    finally:
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        for each in listening:
            each.close()
        await runner.cleanup()


@asynccontextmanager
async def serving_when_possible(
    host: str, port: int, sources: PageSources, token: str | None = None, *, local: bool = True
) -> AsyncIterator[None]:
    """Serve over the block as ``serving`` does; an address that can't be listened on is tried again and again."""
    served = asyncio.Event()
    keeping = asyncio.create_task(_keep_serving(served, host, port, sources, token, local=local), name="pages")
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEADLINE):
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
        await asyncio.sleep(min(_LISTEN_AGAIN_SECONDS * failures, _LISTEN_AGAIN_AT_LEAST_EACH_SECONDS))


def _listen(host: str, port: int) -> list[socket.socket]:
    try:
        return listen(host, port)
    except (OSError, OverflowError) as error:
        raise ListenError(_complaint(host, port, error)) from error


def _complaint(host: str, port: int, error: OSError | OverflowError) -> str:
    where = f"http.listen: {_address(host, port)}"
    match error:
        case socket.gaierror():
            return f"{where}: the name {host} can't be resolved; give an address, such as 127.0.0.1."
        case OSError(errno=errno.EADDRINUSE):
            return f"{where} is in use by another program; stop that, or set another port (null = no HTTP)."
        case OSError(errno=errno.EACCES | errno.EPERM):
            return f"{where}: not permitted; ports below 1024 are the administrator's, set a higher one."
        case OSError(errno=errno.EADDRNOTAVAIL):
            return f"{where}: this machine has no address {host}; set one it has, or 0.0.0.0 for all."
    return f"{where} can't be listened on: {error}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _application(guards: Sequence[Middleware], sources: PageSources) -> web.Application:
    application = web.Application(middlewares=[*guards, _in_time], client_max_size=1024)
    application.on_response_prepare.append(_harden)
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


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SECURITY)


@web.middleware
async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(_DEADLINE):
            return await handler(request)
    except TimeoutError:
        return web.Response(status=503, text=f"No answer from the daemon's inside within {_DEADLINE:.0f} s.\n")
    except CrosshaulError as error:
        return web.Response(status=503, text=f"{error}\n")


class _Handlers:
    def __init__(self, sources: PageSources) -> None:
        self._sources = sources

    async def livez(self, request: web.Request) -> web.Response:
        return _verdict(self._sources.live(), in_full=request[TRUSTED])

    async def readyz(self, request: web.Request) -> web.Response:
        return _verdict(await self._sources.ready(), in_full=request[TRUSTED])

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._sources.metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def status(self, _request: web.Request) -> web.Response:
        status = await self._sources.status()
        return web.json_response(status, dumps=lambda facts: json.dumps(facts, indent=2) + "\n")

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


def _verdict(verdict: HealthReport, *, in_full: bool) -> web.Response:
    lines = ["ok" if verdict.ok else "not ok", *(verdict.reasons if in_full else ())]
    return web.Response(status=200 if verdict.ok else 503, text="\n".join(lines) + "\n")
