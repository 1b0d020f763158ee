"""Keep the status of one route's discovery, and save it in the journal when it changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from crosshaul.discovery.context import DiscoveryContext
from crosshaul.model import RouteStatus


class IntakeMetrics(Protocol):
    """The metrics of discovery."""

    def lost_events(self, route: str, n: int) -> None:
        """Count lost events."""


class RouteStatusWriter:
    """The status of one route."""

    def __init__(self, context: DiscoveryContext, metrics: IntakeMetrics) -> None:
        self._context = context
        self._metrics = metrics
        self._status = RouteStatus(context.route.name)
        self._changed = asyncio.Event()

    def events_lost(self, count: int) -> None:
        """Count and log lost events."""
        self._metrics.lost_events(self._context.route.name, count)
        self._status = replace(self._status, lost_events=self._status.lost_events + count)
        root = str(self._context.route.path)
        self._context.log.warning("watch_lost_events", root=root, hint="raise fs.inotify.max_queued_events")

    def watcher_changed(self, state: str) -> None:
        """Log the new state of the watcher, and have it saved."""
        log, normal = self._context.log, state in {"watching", "off"}
        (log.info if normal else log.warning)("watcher", state=state, root=str(self._context.route.path))
        self._status = replace(self._status, watcher=state)
        self._changed.set()

    async def scan_finished(self, seconds: float) -> None:
        """Save the end of a full scan that took ``seconds``."""
        self._status = replace(self._status, last_scan_at=self._context.clock.now(), last_scan_seconds=seconds)
        await self.save()

    async def save_changes(self) -> None:
        """Save the status after each change, until cancelled. Raises StateDirError."""
        while True:
            await self._changed.wait()
            await self.save()

    async def save(self) -> None:
        """Save the status. Raises StateDirError."""
        self._changed.clear()
        self._status = replace(self._status, settling=len(self._context.unsettled))
        await self._context.journal.save_route(self._status)
