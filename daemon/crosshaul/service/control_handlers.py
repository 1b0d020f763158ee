"""Handlers of the requests that commands send to the running daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosshaul.concurrency.token_bucket import RateStep
from crosshaul.errors import ControlError
from crosshaul.service.control_socket import Handler
from crosshaul.service.reload import ConfigReloader
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import live

Message = Mapping[str, Any]


def control_handlers(runtime: Runtime, reloader: ConfigReloader) -> dict[str, Handler]:
    """Return the handlers, by the names that the commands use."""
    log = logs.get("control")

    async def reload(_: Message) -> Message:
        return {"changes": await reloader.reload()}

    async def pause(request: Message) -> Message:
        runtime.pause(_routes(runtime, request))
        log.warning("paused", routes=sorted(runtime.paused))
        return {"paused": sorted(runtime.paused)}

    async def resume(request: Message) -> Message:
        runtime.resume(_routes(runtime, request))
        log.info("resumed", still_paused=sorted(runtime.paused))
        return {"paused": sorted(runtime.paused)}

    async def limit(request: Message) -> Message:
        rate = request.get("bytes_per_second")
        runtime.bandwidth.override(None if rate == "config" else () if rate is None else (RateStep(None, int(rate)),))
        log.warning("bandwidth_limited", bytes_per_second=rate)
        return {}

    async def show(_: Message) -> Message:
        return {"paused": sorted(runtime.paused)}

    async def alive(_: Message) -> Message:
        report = live(runtime.liveness)
        return {"live": report.ok, "reasons": list(report.reasons)}

    return {"live": alive, "reload": reload, "pause": pause, "resume": resume, "limit": limit, "show": show}


def _routes(runtime: Runtime, request: Message) -> list[str]:
    """Return the routes that a request names, all if it names none. Raises ControlError for an unknown route."""
    named = list(request.get("routes") or runtime.routes)
    unknown = [name for name in named if name not in runtime.routes]
    if unknown:
        raise ControlError(f"The daemon has no route {unknown[0]}; it has: {', '.join(runtime.routes)}.")
    return named
