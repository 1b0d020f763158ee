"""What the commands may order the running daemon to do, over its control socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosshaul.concurrency.adaptive_limit import RateStep
from crosshaul.errors import ControlError
from crosshaul.service.control_socket import Action
from crosshaul.service.reload import ConfigReloader
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import live

Answer = Mapping[str, Any]


def actions(runtime: Runtime, reloading: ConfigReloader) -> dict[str, Action]:
    """The actions, by the names that the commands know."""
    log = logs.get("control")

    async def reload(_: Answer) -> Answer:
        return {"told": await reloading.reload()}

    async def pause(request: Answer) -> Answer:
        runtime.pause(_routes(runtime, request))
        log.warning("paused", routes=sorted(runtime.paused))
        return {"paused": sorted(runtime.paused)}

    async def resume(request: Answer) -> Answer:
        runtime.resume(_routes(runtime, request))
        log.info("resumed", still_paused=sorted(runtime.paused))
        return {"paused": sorted(runtime.paused)}

    async def limit(request: Answer) -> Answer:
        rate = request.get("bytes_per_second")
        runtime.bandwidth.override(None if rate == "config" else () if rate is None else (RateStep(None, int(rate)),))
        log.warning("bandwidth_limited", bytes_per_second=rate)
        return {}

    async def show(_: Answer) -> Answer:
        return {"paused": sorted(runtime.paused)}

    async def alive(_: Answer) -> Answer:
        verdict = live(runtime.liveness)
        return {"live": verdict.ok, "reasons": list(verdict.reasons)}

    return {"live": alive, "reload": reload, "pause": pause, "resume": resume, "limit": limit, "show": show}


def _routes(runtime: Runtime, request: Answer) -> list[str]:
    """The routes that a request is for, all if it names none. Raises ControlError."""
    named = list(request.get("routes") or runtime.routes)
    unknown = [name for name in named if name not in runtime.routes]
    if unknown:
        raise ControlError(f"The daemon has no route {unknown[0]}; it has: {', '.join(runtime.routes)}.")
    return named
