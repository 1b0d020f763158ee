"""The paths to look at soon, with what was heard of them last: bounded in number and in bytes."""

from __future__ import annotations

from crosshaul.discovery.watch import EventKind

MAX_HINTS = 50_000
"""Hints that may be waiting; more than these are answered by one scan of everything."""
MAX_BYTES = 16 << 20
"""How long their paths may be together."""

_SAYS_LESS = {
    kind: {EventKind.TOUCHED, EventKind.CHANGED} if kind is EventKind.APPEARED else {EventKind.TOUCHED}
    for kind in EventKind
}
"""What, heard of a path after the key, leaves that standing. Anything else is the news."""
_ARRIVALS = frozenset({EventKind.APPEARED, EventKind.RENAMED})


class HintQueue:
    """The latest news of each path. A directory that arrived stays one that arrived, whatever is heard after that."""

    def __init__(self, most: int | None = None, most_bytes: int = MAX_BYTES) -> None:
        self._most = MAX_HINTS if most is None else most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kinds: dict[bytes, EventKind] = {}
        self._arrived: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, path: bytes, kind: EventKind) -> bool:
        """Keep it; False if there is no room."""
        before = self._kinds.get(path)
        if before is None:
            if len(self._kinds) >= self._most or self._bytes + len(path) > self._most_bytes:
                return False
            self._bytes += len(path)
            self._kinds[path] = kind
        elif kind not in _SAYS_LESS[before]:
            self._kinds[path] = kind
            if before in _ARRIVALS and kind is not EventKind.GONE:
                self._arrived.add(path)
        return True

    def take(self) -> tuple[dict[bytes, EventKind], set[bytes]]:
        """Hand over all hints, and the paths of those among them at which something arrived."""
        kinds, self._kinds = self._kinds, {}
        arrived, self._arrived = self._arrived, set()
        self._bytes = 0
        arrived.update(path for path, kind in kinds.items() if kind in _ARRIVALS)
        return kinds, arrived
