"""A check of each destination: opens what the daemon would open, walks the steps, and closes it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from crosshaul.app import open_bucket
from crosshaul.aws.chain import Chain
from crosshaul.clock import SystemClock
from crosshaul.config import Config, Destination
from crosshaul.errors import Diagnosis
from crosshaul.flow import Line
from crosshaul.trust.findings import Finding
from crosshaul.trust.machine import look
from crosshaul.trust.steps import Ground, walk


async def check(config: Config, names: Sequence[str], *, deputy: bool) -> AsyncIterator[tuple[str, Finding]]:
    """Destination and finding, one after the other; ``names`` none = all. ``deputy``: try the confused deputy's."""
    for name in names or config.destinations:
        async for finding in _check(config, config.destinations[name], deputy=deputy):
            yield name, finding


async def _check(config: Config, destination: Destination, *, deputy: bool) -> AsyncIterator[Finding]:
    clock, chain = SystemClock(), Chain(config.identity)
    refresher, bucket = open_bucket(destination, chain, config, clock, Line(clock), _Deaf())
    stop = asyncio.Event()
    refreshing = asyncio.create_task(refresher.run(stop))
    try:
        async for finding in walk(Ground(destination, chain, refresher, bucket, deputy=deputy)):
            yield finding
    finally:
        stop.set()
        await refreshing
        await bucket.close()
    routes = [route for route in config.routes if route.destination == destination.name]
    for finding in await asyncio.to_thread(look, config.state_dir, routes):
        yield finding


class _Deaf:
    """The step that asks for credentials hears it all itself."""

    def renewed(self, destination: str, expires_in: float | None) -> None:
        """Passed over."""

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """Passed over."""
