"""The interfaces of a watch backend and of its listener, and the kinds of events."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from crosshaul.files.shared_prefix_path import Directory


class EventKind(StrEnum):
    """The meaning of an event for a path."""

    APPEARED = "appeared"
    CHANGED = "changed"
    CLOSED = "closed"
    """Closed by a program that had it open for writing."""
    RENAMED = "renamed"
    """Renamed into place: its writer has finished."""
    TOUCHED = "touched"
    """Its attributes changed, but not its bytes."""
    GONE = "gone"


class WatchListener(Protocol):
    """Receives events. All methods are called on the loop and must return at once."""

    def on_event(self, path: bytes, kind: EventKind) -> None:
        """Handle an event of ``path``, relative to the root."""

    def on_events_lost(self, count: int) -> None:
        """Handle the loss of at least ``count`` events: only a scan can find the changes."""

    def request_scan(self) -> None:
        """Scan the whole tree: there may be changes without events."""

    def on_watcher_state(self, state: str) -> None:
        """Handle a new state of the watcher, as in ``RouteStatus.watcher``."""


class WatchUnavailableError(Exception):
    """This backend delivers no events (any more); the message says why, and what to do."""


class WatchBackend(Protocol):
    """Watches one root, which stays the same directory for the life of the backend."""

    def watch_directory(self, directory: Directory, descriptor: int) -> None:
        """Watch an open directory that a scan is about to list. May be called from any thread."""

    def scan_finished(self) -> str | None:
        """Handle the end of a full scan; return why the tree can't be watched completely, or None."""

    async def deliver_pending(self) -> None:
        """Deliver the events that are queued now, so that no change seen before lacks its event."""

    async def listen(self) -> None:
        """Deliver events until the root is gone. Raises WatchUnavailableError."""

    def close(self) -> None:
        """Release all resources."""
