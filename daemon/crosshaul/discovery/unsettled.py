"""The files of one route that have not settled yet, bounded, and found by path, inode, marker and due time. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from crosshaul.model import Fingerprint, SettleReason, Sighting

MAX_FILES = 100_000
"""Takes some 50 MB. A later scan finds the files that were turned away."""
MAX_PATH_BYTES = 32 << 20
"""Limit of the total length of their paths."""
_MAX_STALE_ENTRIES = 1_000


@dataclass(slots=True)
class UnsettledFile:
    """A file that was seen and has not settled."""

    sighting: Sighting
    first_seen: float
    seen: float
    """When it was first seen in this state."""
    still_since: float
    due: float = float("inf")
    marker: bytes | None = None
    reason: SettleReason | None = None
    """The reason for which it has settled, except that its clock tick is not over."""
    closed: bool = False
    """The latest event is that a writer closed it."""
    queued: bool = False


class UnsettledFiles:
    """Candidates by path, with indexes by inode and marker and a queue by due time."""

    def __init__(self, max_files: int | None = None, max_path_bytes: int = MAX_PATH_BYTES) -> None:
        self.by_path: dict[bytes, UnsettledFile] = {}
        self.turned_away = 0
        """Files that had to be left to a later scan; the caller resets it."""
        self._max_files = MAX_FILES if max_files is None else max_files
        self._max_path_bytes = max_path_bytes
        self._bytes = 0
        self._queue: list[tuple[float, bytes]] = []
        self._by_inode: dict[int, bytes] = {}
        self._by_marker: dict[bytes, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self.by_path)

    @property
    def queue_length(self) -> int:
        """Entries of the queue by due time, stale ones included."""
        return len(self._queue)

    @property
    def has_room(self) -> bool:
        """True if at least half of the limits is free."""
        return len(self.by_path) <= self._max_files // 2 and self._bytes <= self._max_path_bytes // 2

    def keep(self, candidate: UnsettledFile, before: UnsettledFile | None) -> bool:
        """Store ``candidate`` in the place of ``before``; return False and count it if there is no room."""
        path = candidate.sighting.path
        if before is None and (len(self.by_path) >= self._max_files or self._bytes >= self._max_path_bytes):
            self.turned_away += 1
            return False
        if before is not None:
            self.forget(path)
        self.by_path[path] = candidate
        self._bytes += _length(candidate)
        self._by_inode[candidate.sighting.fingerprint.inode] = path
        if candidate.marker is not None:
            self._by_marker.setdefault(candidate.marker, set()).add(path)
        return True

    def schedule(self, candidate: UnsettledFile, before: UnsettledFile | None) -> None:
        """Queue a kept candidate for its due time."""
        # One entry for each file is enough: when its time comes it is compared with the candidate's latest due time.
        candidate.queued = True
        if before is None or not before.queued or candidate.due < before.due:
            self._push(candidate)

    def _push(self, candidate: UnsettledFile) -> None:
        if len(self._queue) > 2 * len(self.by_path) + _MAX_STALE_ENTRIES:
            # Files that settled early leave their entries behind. These must not accumulate.
            self._queue = [(c.due, path) for path, c in self.by_path.items() if c.queued and c is not candidate]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (candidate.due, candidate.sighting.path))

    def other_path(self, sighting: Sighting) -> bytes | None:
        """Return another path at which this file was last seen. If it is gone there, the file was renamed."""
        path = self._by_inode.get(sighting.fingerprint.inode)
        if path is None or path == sighting.path:
            return None
        return path if is_same_file(self.by_path[path].sighting.fingerprint, sighting.fingerprint) else None

    def due(self, now: float) -> list[bytes]:
        """Return the files to check at ``now``. Each has to be observed or forgotten before it is due again."""
        paths = []
        while self._queue and self._queue[0][0] <= now:
            _, path = heapq.heappop(self._queue)
            candidate = self.by_path.get(path)
            if candidate is None or not candidate.queued:
                continue
            if candidate.due > now:
                heapq.heappush(self._queue, (candidate.due, path))
                continue
            candidate.queued = False
            paths.append(path)
        return paths

    def next_due(self) -> float | None:
        """Return when to call ``due`` again (monotonic seconds; perhaps too early), or None if nothing is queued."""
        return self._queue[0][0] if self._queue else None

    def waiting_for(self, marker: bytes) -> list[bytes]:
        """Return the files that wait for this marker."""
        return sorted(self._by_marker.get(marker, ()))

    def on_write(self, path: bytes, *, closed: bool) -> bool:
        """Record that a file was written, or closed by a writer; return whether it is queued for a check."""
        candidate = self.by_path.get(path)
        if candidate is None:
            return False
        candidate.closed = closed
        return candidate.queued

    def on_events_lost(self) -> None:
        """Drop what is known about closed files: any of them may have been opened again."""
        for candidate in self.by_path.values():
            candidate.closed = False

    def forget(self, path: bytes) -> None:
        """Drop a file that has settled, is gone or can't be read."""
        candidate = self.by_path.pop(path, None)
        if candidate is None:
            return
        self._bytes -= _length(candidate)
        if self._by_inode.get(candidate.sighting.fingerprint.inode) == path:
            del self._by_inode[candidate.sighting.fingerprint.inode]
        if candidate.marker is not None:
            waiting = self._by_marker[candidate.marker]
            waiting.discard(path)
            if not waiting:
                del self._by_marker[candidate.marker]

    def forget_all(self, paths: Iterable[bytes]) -> None:
        """Call ``forget`` for each path."""
        for path in paths:
            self.forget(path)


def is_same_file(one: Fingerprint, other: Fingerprint) -> bool:
    """Return whether two states are of one file that was not written in between. A rename may change the ctime."""
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def _length(candidate: UnsettledFile) -> int:
    return len(candidate.sighting.path) + len(candidate.marker or b"")
