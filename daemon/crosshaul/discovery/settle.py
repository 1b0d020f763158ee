"""Pure: which of the files that were seen have come to rest, and when to look at the others again.

A file is at rest when size, mtime, ctime and inode stood still for ``quiet`` seconds of our own clock. Its time stamps
may vouch for the time before it was first seen, as far as they can be compared with our clock (``FileClock``). A writer
that lets go of it (a rename into place) ends the waiting at once. With a marker, the marker alone decides. Nobody waits
longer than ``max_wait`` for a file that never stands still: it is then taken as it stands (a transfer refuses what
changes under its hands, so no torn state is delivered).

Whatever the reason, a state is taken only when its tick is over, so that whoever writes after it was read gives it
another time stamp: a change of the same size would not be seen otherwise (what git calls "racily clean").

Times: ``now`` in seconds of the monotonic clock, ``wall_ns`` in nanoseconds since the epoch.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from crosshaul.files.file_clock import ClockSteps, FileClock, is_coarse
from crosshaul.files.marker import Marker
from crosshaul.model import Fingerprint, Recorded, SettleReason, Sighting

LIMIT = 100_000
"""How many files may be waited for at once; some 50 MB. A later scan finds those that were turned away."""
LIMIT_BYTES = 32 << 20
"""How long their paths may be together."""
_SLACK = 1_000
_MAX_SKEW = 86_400.0
"""Seconds by which a file server's clock may be wrong: a whole time zone, and more."""


@dataclass(frozen=True, slots=True)
class AtRest:
    """The file can be taken; it is not waited for any more."""

    reason: SettleReason


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Look again at ``due`` (monotonic seconds)."""

    due: float


@dataclass(frozen=True, slots=True)
class WaitForMarker:
    """Look again when ``marker`` (a path below the root) appears."""

    marker: bytes


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Too many are waited for already: a later scan has to bring it again."""


Verdict = AtRest | WaitUntil | WaitForMarker | TurnedAway


@dataclass(slots=True)
class _Candidate:
    sighting: Sighting
    first_seen: float
    seen: float
    """When it was first seen in this state."""
    still_since: float
    due: float = float("inf")
    marker: bytes | None = None
    reason: SettleReason | None = None
    """Why it is at rest, but for its tick."""
    closed: bool = False
    """What was heard of it last is that a writer closed it."""
    queued: bool = False


class Settler:
    """The files that were seen and have not come to rest yet. Holds no clock, touches no file."""

    def __init__(
        self, quiet: float, max_wait: float, marker: str | None, limit: int = LIMIT, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._quiet = quiet
        self._max_wait = max_wait
        self.marker = Marker(marker) if marker else None
        self.file_clock = FileClock()
        """That of the file system; the caller keeps it up to date."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._steps = ClockSteps()
        self._candidates: dict[bytes, _Candidate] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._by_inode: dict[int, bytes] = {}
        self._by_marker: dict[bytes, set[bytes]] = {}
        self.turned_away = 0
        """How many had to be left to a later scan; the caller sets it back."""

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def has_room(self) -> bool:
        """Whether there is room for half of what could be waited for."""
        return len(self._candidates) <= self._limit // 2 and self._bytes <= self._limit_bytes // 2

    def observe(
        self,
        sighting: Sighting,
        now: float,
        wall_ns: int,
        *,
        finished: bool = False,
        marked: bool = False,
        walked: bool = False,
        closed: bool | None = None,
    ) -> Verdict:
        """Judge a file by what it is now and what it was before.

        ``finished``: its writer has let go of it (renamed it into place, say). ``marked``: its marker counts.
        ``walked``: a scan came by it, rather than a hint that something happened to it just now. ``closed``: what was
        heard of it last is that a writer closed it, or that it changed; None = neither.
        """
        self._steps.note(now, wall_ns)
        before = self._candidates.get(sighting.path)
        candidate = self._candidate(sighting, before, now, wall_ns, walked=walked)
        candidate.closed = closed if closed is not None else before is not None and before.closed
        reason = self._reason(candidate, before, now, finished=finished, marked=marked)
        if reason is None:
            return self._unrest(candidate, before)
        left = self._left_of_tick(candidate, now, wall_ns, walked=walked)
        # What never stands still would have a new tick at each look: one is waited for, and no more.
        if left > 0 and not (before is not None and before.reason is SettleReason.CEILING):
            candidate.reason, candidate.due = reason, now + left
            return self._wait(candidate, before)
        self.forget(sighting.path)
        return AtRest(reason)

    def _candidate(
        self, sighting: Sighting, before: _Candidate | None, now: float, wall_ns: int, *, walked: bool
    ) -> _Candidate:
        if before is not None and self._as_it_was(before, sighting) == sighting.fingerprint:
            return _Candidate(sighting, before.first_seen, before.seen, before.still_since)
        vouched = self._vouched(sighting.fingerprint, wall_ns, first=before is None and walked)
        if vouched and is_coarse(sighting.fingerprint):
            # The change may have come as much later as such a stamp is cut off.
            vouched = max(0.0, vouched - self.file_clock.tick(sighting.fingerprint))
        return _Candidate(sighting, before.first_seen if before is not None else now, now, now - vouched)

    def _as_it_was(self, before: _Candidate, sighting: Sighting) -> Fingerprint:
        """The state before; where inodes are made up, with the new one."""
        state = before.sighting.fingerprint
        return state if self.file_clock.keeps_inodes else state._replace(inode=sighting.fingerprint.inode)

    def _reason(
        self, candidate: _Candidate, before: _Candidate | None, now: float, *, finished: bool, marked: bool
    ) -> SettleReason | None:
        """Why the file is at rest, if it is; what ended its waiting holds until its content changes."""
        held = None
        sighting = candidate.sighting
        if before is not None and _same_file(self._as_it_was(before, sighting), sighting.fingerprint):
            held = before.reason
        if self.marker is not None:
            return SettleReason.MARKER if marked or held is SettleReason.MARKER else None
        if finished or held is SettleReason.FINISHED:
            return SettleReason.FINISHED
        if now - candidate.still_since >= self._quiet:
            return SettleReason.CLOSED if candidate.closed else SettleReason.QUIET
        return SettleReason.CEILING if now - candidate.first_seen >= self._max_wait else None

    def _vouched(self, fingerprint: Fingerprint, wall_ns: int, *, first: bool) -> float:
        """For how many seconds the time stamps vouch that nothing happened; none if they lie in the future.

        Those of a file server do so only for what a walk sees for the first time (``first``): of what was seen before,
        or hinted at, it is known that it changed just now.
        """
        latest = max(fingerprint.mtime_ns, fingerprint.ctime_ns)
        if self.file_clock.ours:
            doubt = self._steps.since(latest)
        elif first:
            doubt = _MAX_SKEW
        else:
            return 0.0
        return max(0.0, (wall_ns - latest) / 1e9 - doubt)

    def _left_of_tick(self, candidate: _Candidate, now: float, wall_ns: int, *, walked: bool) -> float:
        """For how many seconds the file could still be changed without its time stamps telling."""
        fingerprint = candidate.sighting.fingerprint
        tick = self.file_clock.tick(fingerprint)
        if tick <= now - candidate.seen:
            return 0.0
        first = walked and candidate.seen == now
        return tick - max(now - candidate.seen, self._vouched(fingerprint, wall_ns, first=first))

    def _unrest(self, candidate: _Candidate, before: _Candidate | None) -> Verdict:
        if self.marker is None:
            candidate.due = min(candidate.still_since + self._quiet, candidate.first_seen + self._max_wait)
            return self._wait(candidate, before)
        candidate.marker = self.marker.of(candidate.sighting.path)
        if not self._keep(candidate, before):
            return TurnedAway()
        self._by_marker.setdefault(candidate.marker, set()).add(candidate.sighting.path)
        return WaitForMarker(candidate.marker)

    def _wait(self, candidate: _Candidate, before: _Candidate | None) -> Verdict:
        if not self._keep(candidate, before):
            return TurnedAway()
        # One entry a file is enough: it asks the candidate for its latest due time when its own has come.
        candidate.queued = True
        if before is None or not before.queued or candidate.due < before.due:
            self._push(candidate)
        return WaitUntil(candidate.due)

    def _push(self, candidate: _Candidate) -> None:
        if len(self._queue) > 2 * len(self._candidates) + _SLACK:
            # Entries of files that were taken early are left lying; don't let them pile up.
            self._queue = [(c.due, path) for path, c in self._candidates.items() if c.queued and c is not candidate]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (candidate.due, candidate.sighting.path))

    def _keep(self, candidate: _Candidate, before: _Candidate | None) -> bool:
        path = candidate.sighting.path
        if before is None and (len(self._candidates) >= self._limit or self._bytes >= self._limit_bytes):
            self.turned_away += 1
            return False
        if before is not None:
            self.forget(path)
        self._candidates[path] = candidate
        self._bytes += _length(candidate)
        self._by_inode[candidate.sighting.fingerprint.inode] = path
        return True

    def twin(self, sighting: Sighting) -> bytes | None:
        """Another path at which this very file was last seen; if nothing is there now, the file was renamed."""
        path = self._by_inode.get(sighting.fingerprint.inode)
        if path is None or path == sighting.path:
            return None
        return path if _same_file(self._candidates[path].sighting.fingerprint, sighting.fingerprint) else None

    def due(self, now: float) -> list[bytes]:
        """The files to look at again now. Each has to be observed, or forgotten, before it is due again."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            _, path = heapq.heappop(self._queue)
            candidate = self._candidates.get(path)
            if candidate is None or not candidate.queued:
                continue
            if candidate.due > now:
                heapq.heappush(self._queue, (candidate.due, path))
                continue
            candidate.queued = False
            found.append(path)
        return found

    def next_due(self) -> float | None:
        """When to ask ``due`` again (monotonic seconds; it may turn out to be too early); None if nothing waits."""
        return self._queue[0][0] if self._queue else None

    def waiting_for(self, marker: bytes) -> list[bytes]:
        """The files that wait for this marker."""
        return sorted(self._by_marker.get(marker, ()))

    def heard(self, path: bytes, *, closed: bool) -> bool:
        """Note that this file was written to, or closed by a writer; gives whether it will be due by itself."""
        candidate = self._candidates.get(path)
        if candidate is None:
            return False
        candidate.closed = closed
        return candidate.queued

    def may_have_missed(self) -> None:
        """Events were lost: any file may have been opened again."""
        for candidate in self._candidates.values():
            candidate.closed = False

    def forget(self, path: bytes) -> None:
        """Wait no longer for this file (it is taken, gone, or can't be looked at)."""
        candidate = self._candidates.pop(path, None)
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
        """``forget`` each."""
        for path in paths:
            self.forget(path)


def but_for_inode(sighting: Sighting, record: Recorded | None) -> Sighting | None:
    """The sighting in its recorded state, if the inode is all that is new."""
    if record is None or record.fingerprint[:3] != sighting.fingerprint[:3]:
        return None
    return sighting._replace(fingerprint=record.fingerprint)


def _same_file(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two states are of one file, unwritten in between; a rename itself may move the ctime."""
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def _length(candidate: _Candidate) -> int:
    return len(candidate.sighting.path) + len(candidate.marker or b"")
