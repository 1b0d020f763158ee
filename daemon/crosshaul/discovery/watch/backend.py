"""What is heard, who is told, and what an ear owes."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from crosshaul.files.directory import Directory


class EventKind(StrEnum):
    """What seems to have happened at a path."""

    APPEARED = "appeared"
    CHANGED = "changed"
    CLOSED = "closed"
    """Closed by someone who could write to it."""
    RENAMED = "renamed"
    """Renamed into place: whoever did it has finished writing."""
    TOUCHED = "touched"
    """Its attributes changed, its bytes did not."""
    GONE = "gone"


class WatchListener(Protocol):
    """Who is told. All of it is called in the loop and must return at once."""

    def heard(self, path: bytes, kind: EventKind) -> None:
        """Look at ``path``, relative to the root."""

    def lost(self, events: int) -> None:
        """At least so many events were lost: only a scan can tell what happened."""

    def rescan(self) -> None:
        """Walk the whole tree: what happened up to now may not have been heard."""

    def watcher_is(self, state: str) -> None:
        """How the watcher is, as ``RouteStatus.watcher`` has it; called on change."""


class WatchUnavailableError(Exception):
    """This ear hears nothing (any more); the message says why, and what to do."""


class WatchBackend(Protocol):
    """Listens to one root, which is one directory for as long as the ear lives."""

    def entering(self, directory: Directory, descriptor: int) -> None:
        """A walk is about to list this open directory. May be called from any thread."""

    def walked(self) -> str | None:
        """A walk of the whole tree is over. Gives what keeps the ear from hearing all of it, or None."""

    async def listen(self) -> None:
        """Tell what happens, until the root is gone. Raises DeafError."""

    def close(self) -> None:
        """Give everything back."""
