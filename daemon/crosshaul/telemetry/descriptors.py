"""File descriptors: as many as the system lets this process have, and few words when they run out."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Any

from crosshaul.telemetry.failure_streak import doubles
from crosshaul.telemetry.logger import Logger

_ENOUGH = 65_536
_OUT_OF_RESOURCES = "socket.accept() out of system resource"


def raise_limit() -> None:
    """Raise the soft limit (1,024 for the sake of select(2), which nothing here uses) to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class AcceptTrouble:
    """An exception handler of the event loop: asyncio tells each connection that finds no descriptor a hundredfold."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._count = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log it: the 1st, 2nd, 4th, ... of these, and anything else as asyncio does."""
        if context.get("message") != _OUT_OF_RESOURCES:
            loop.default_exception_handler(context)
            return
        self._count += 1
        if doubles(self._count):
            self._log.warning("not_accepted", error=str(context.get("exception")), count=self._count)
