"""Receive the watcher's events, and keep the paths to check until they are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from crosshaul.discovery.context import DiscoveryContext
from crosshaul.discovery.hint_queue import HintQueue
from crosshaul.discovery.route_status import RouteStatusWriter
from crosshaul.discovery.watch import EventKind
from crosshaul.files.own_paths import REMOVAL_PREFIX


class HintInbox:
    """The WatchListener of one route. Requests a full scan if hints are lost or do not fit."""

    def __init__(self, context: DiscoveryContext, status: RouteStatusWriter, scan_wanted: asyncio.Event) -> None:
        self._unsettled = context.unsettled
        self._clock = context.clock
        self._status = status
        self._scan_wanted = scan_wanted
        close_write = context.route.settle.close_write
        self.finishing = {EventKind.RENAMED, EventKind.CLOSED} if close_write else {EventKind.RENAMED}
        """Events that end the wait for a file at once."""
        self.filled = asyncio.Event()
        """Set when there is something to check, or an earlier due time."""
        self.checking = False
        """Hints are being checked: events of waiting files are kept now."""
        self._hints = HintQueue()
        self._after_scan = HintQueue()
        self._events_lost = False
        """Events were lost since hints were taken."""

    def __len__(self) -> int:
        return len(self._hints)

    def hint(self, path: bytes) -> None:
        """Have ``path`` (relative to the root) checked soon; called on the loop."""
        self.on_event(path, EventKind.CHANGED)

    def on_event(self, path: bytes, kind: EventKind) -> None:
        """Have ``path`` checked soon."""
        if REMOVAL_PREFIX in path or not path:
            return
        if kind is EventKind.CHANGED or kind is EventKind.CLOSED:
            queued = self._unsettled.on_write(path, closed=kind is EventKind.CLOSED)
            # A file that is written continuously is checked when it is due rather than at each write. But a write
            # after a rename replaces the rename's hint, so that the file does not count as finished.
            if queued and kind not in self.finishing and not self.checking and path not in self._hints:
                return
        if not self._hints.add(path, kind):
            self._events_lost = True
            self._scan_wanted.set()
        self.filled.set()

    def on_events_lost(self, count: int) -> None:
        """Count lost events and scan everything."""
        self._status.events_lost(count)
        self.request_scan()

    def request_scan(self) -> None:
        """Scan everything: there may be changes without events."""
        self._events_lost = True
        self._unsettled.on_events_lost()
        self._hints.on_events_lost()
        self._scan_wanted.set()

    def on_watcher_state(self, state: str) -> None:
        """Log and save the state of the watcher."""
        self._status.watcher_changed(state)

    def take(self) -> tuple[dict[bytes, EventKind], set[bytes]]:
        """Remove and return all hints, due files included, and the set of paths that appeared."""
        self.filled.clear()
        self._events_lost = False
        hints, appeared = self._hints.take()
        for path in self._unsettled.due(self._clock.monotonic()):
            hints.setdefault(path, EventKind.TOUCHED)
        return hints, appeared

    def outdated(self, path: bytes, kind: EventKind) -> bool:
        """Return whether ``kind``, an event that was taken, may not be the latest one of ``path`` any more."""
        return self._events_lost or self._hints.outdates(path, kind)

    def defer(self, hints: Iterable[tuple[bytes, EventKind]]) -> None:
        """Keep hints until the next full scan is over, and request it."""
        for path, kind in hints:
            self._after_scan.add(path, kind)
        self._scan_wanted.set()

    def release_deferred(self) -> None:
        """Add the paths of the deferred hints again; their events may not be the latest ones any more."""
        for path in self._after_scan.take()[0]:
            self.on_event(path, EventKind.TOUCHED)
