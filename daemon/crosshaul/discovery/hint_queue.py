"""Paths to check soon, with their latest event: bounded in number and in bytes."""

from __future__ import annotations

from crosshaul.discovery.watch import EventKind

MAX_HINTS = 50_000
"""More hints than these are replaced by one full scan."""
MAX_PATH_BYTES = 16 << 20
"""Limit of the total length of their paths."""

_OUTRANKED = {
    kind: {EventKind.TOUCHED, EventKind.CHANGED} if kind is EventKind.APPEARED else {EventKind.TOUCHED}
    for kind in EventKind
}
"""Events that do not replace the key as a path's event, because they say less. Any other later event does."""
_ARRIVALS = frozenset({EventKind.APPEARED, EventKind.RENAMED})


class HintQueue:
    """The latest event of each path. A path that appeared stays marked as such, even after later events."""

    def __init__(self, max_hints: int | None = None, max_path_bytes: int = MAX_PATH_BYTES) -> None:
        self._max_hints = MAX_HINTS if max_hints is None else max_hints
        self._max_path_bytes = max_path_bytes
        self._bytes = 0
        self._kinds: dict[bytes, EventKind] = {}
        self._arrived: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._kinds)

    def __contains__(self, path: object) -> bool:
        return path in self._kinds

    def add(self, path: bytes, kind: EventKind) -> bool:
        """Add a hint; return False if there is no room."""
        before = self._kinds.get(path)
        if before is None:
            if len(self._kinds) >= self._max_hints or self._bytes + len(path) > self._max_path_bytes:
                return False
            self._bytes += len(path)
            self._kinds[path] = kind
        elif kind not in _OUTRANKED[before]:
            self._kinds[path] = kind
            if before in _ARRIVALS and kind is not EventKind.GONE:
                self._arrived.add(path)
        return True

    def outdates(self, path: bytes, kind: EventKind) -> bool:
        """Return whether the queue has an event of ``path`` that replaces ``kind``, which was taken before."""
        later = self._kinds.get(path)
        return later is not None and later not in _OUTRANKED[kind]

    def on_events_lost(self) -> None:
        """Keep the paths but not their events: a later event may be among the lost ones."""
        self._arrived.update(path for path, kind in self._kinds.items() if kind in _ARRIVALS)
        self._kinds = dict.fromkeys(self._kinds, EventKind.TOUCHED)

    def take(self) -> tuple[dict[bytes, EventKind], set[bytes]]:
        """Remove and return all hints, and the set of their paths that appeared or were renamed into place."""
        kinds, self._kinds = self._kinds, {}
        arrived, self._arrived = self._arrived, set()
        self._bytes = 0
        arrived.update(path for path, kind in kinds.items() if kind in _ARRIVALS)
        return kinds, arrived
