"""File descriptors: the limit of the process, and the log where accept() runs out of them."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Any

from crosshaul.telemetry.failure_streak import is_power_of_two
from crosshaul.telemetry.logger import Logger

_WANTED_DESCRIPTORS = 65_536
_OUT_OF_RESOURCES = "socket.accept() out of system resource"


def raise_descriptor_limit() -> None:
    """Raise the soft limit (1,024 for the sake of select(2), which nothing here uses) to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class AcceptErrorHandler:
    """An exception handler of the event loop. asyncio reports a connection without a descriptor hundreds of times."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._count = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log the 1st, 2nd, 4th, ... failure of accept(); leave anything else to asyncio's own handler."""
        if context.get("message") != _OUT_OF_RESOURCES:
            loop.default_exception_handler(context)
            return
        self._count += 1
        if is_power_of_two(self._count):
            self._log.warning("accept_failed", error=str(context.get("exception")), count=self._count)
