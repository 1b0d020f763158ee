"""Pure: which of the files that were seen have come to rest, and when to look at the others again.

A file is at rest when size, mtime, ctime and inode stood still for ``quiet`` seconds. Its own timestamps may vouch for
the time before it was first seen, unless they lie in the future. A writer that lets go of it (a rename into place) ends
the waiting at once. With a marker, the marker alone decides. Nobody waits longer than ``max_wait`` for a file that
never stands still: it is then taken as it stands (a transfer refuses what changes under its hands, so no torn state is
delivered).

Times: ``now`` in seconds of the monotonic clock, ``wall_ns`` in nanoseconds since the epoch.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter

from crosshaul.model import Fingerprint, Reason, Sighting

LIMIT = 100_000
"""How many files may be waited for at once; some 50 MB. A later scan finds those that were turned away."""
_SLACK = 1_000


@dataclass(frozen=True, slots=True)
class AtRest:
    """The file can be taken; it is not waited for any more."""

    reason: Reason


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


class Marker:
    """The name of the file that says that another is finished, such as ``{path}.done``."""

    def __init__(self, template: str) -> None:
        parsed = Formatter().parse(template)
        self._pieces = [(literal.encode("utf-8", "surrogateescape"), field) for literal, field, _, _ in parsed]
        self._pattern = re.compile(_pattern(self._pieces), re.DOTALL)

    def of(self, path: bytes) -> bytes:
        """The marker of the file at ``path``; both relative to the root."""
        folder, _, name = path.rpartition(b"/")
        stem, dot, suffix = name.rpartition(b".")
        if not stem:
            stem, dot, suffix = name, b"", b""
        values = {"path": path, "dir": folder, "name": name, "stem": stem, "suffix": dot + suffix, None: b""}
        return _below(b"".join(literal + values[field] for literal, field in self._pieces))

    def is_marker(self, path: bytes) -> bool:
        """Whether a file of this name is a marker, whether or not what it speaks of is there."""
        return self._pattern.fullmatch(path) is not None


def _below(path: bytes) -> bytes:
    return b"/".join(part for part in path.split(b"/") if part)


_ANY = {"path": b".+", "name": b"[^/]+", "stem": b"[^/]+", "suffix": b"[^/]*"}


def _pattern(pieces: list[tuple[bytes, str | None]]) -> bytes:
    """What every marker's name matches. An empty {dir} takes the slash after it along."""
    pattern, folder = b"", False
    for literal, field in pieces:
        if folder:
            slash = literal.startswith(b"/")
            pattern += b"(?:.+/)?" if slash else b".*"
            literal = literal.removeprefix(b"/")  # noqa: PLW2901 - the rest of this very literal
        pattern += re.escape(literal)
        folder = field == "dir"
        if field and not folder:
            pattern += _ANY[field]
    return pattern + (b".*" if folder else b"")


@dataclass(slots=True)
class _Candidate:
    sighting: Sighting
    first_seen: float
    still_since: float
    due: float
    marker: bytes | None = None
    queued: bool = False


class Settler:
    """The files that were seen and have not come to rest yet. Holds no clock, touches no file."""

    def __init__(self, quiet: float, max_wait: float, marker: str | None, limit: int = LIMIT) -> None:
        self._quiet = quiet
        self._max_wait = max_wait
        self.marker = Marker(marker) if marker else None
        self._limit = limit
        self._candidates: dict[bytes, _Candidate] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._by_inode: dict[int, bytes] = {}
        self._by_marker: dict[bytes, set[bytes]] = {}
        self.turned_away = 0
        """How many had to be left to a later scan; the caller sets it back."""

    def __len__(self) -> int:
        return len(self._candidates)

    def observe(
        self, sighting: Sighting, now: float, wall_ns: int, *, finished: bool = False, marked: bool = False
    ) -> Verdict:
        """Judge a file by what it is now and what it was before.

        ``finished``: its writer has let go of it (renamed it into place, say). ``marked``: its marker is there.
        """
        if self.marker is not None:
            return self._await_marker(sighting, now, self.marker.of(sighting.path), marked=marked)
        if finished:
            return self._taken(sighting.path, Reason.FINISHED)
        before = self._candidates.get(sighting.path)
        if before is not None and before.sighting.fingerprint == sighting.fingerprint:
            still_since = before.still_since
        else:
            still_since = now - _age(sighting.fingerprint, wall_ns)
        if now - still_since >= self._quiet:
            return self._taken(sighting.path, Reason.QUIET)
        first_seen = before.first_seen if before is not None else now
        if now - first_seen >= self._max_wait:
            return self._taken(sighting.path, Reason.CEILING)
        due = min(still_since + self._quiet, first_seen + self._max_wait)
        return self._wait(_Candidate(sighting, first_seen, still_since, due), before)

    def _taken(self, path: bytes, reason: Reason) -> Verdict:
        self.forget(path)
        return AtRest(reason)

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

    def _await_marker(self, sighting: Sighting, now: float, marker: bytes, *, marked: bool) -> Verdict:
        if marked:
            return self._taken(sighting.path, Reason.MARKER)
        candidate = _Candidate(sighting, now, now, float("inf"), marker)
        if not self._keep(candidate, self._candidates.get(sighting.path)):
            return TurnedAway()
        self._by_marker.setdefault(marker, set()).add(sighting.path)
        return WaitForMarker(marker)

    def _keep(self, candidate: _Candidate, before: _Candidate | None) -> bool:
        if before is None and len(self._candidates) >= self._limit:
            self.turned_away += 1
            return False
        if before is not None:
            self._by_inode.pop(before.sighting.fingerprint.inode, None)
        self._candidates[candidate.sighting.path] = candidate
        self._by_inode[candidate.sighting.fingerprint.inode] = candidate.sighting.path
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

    def awaits(self, path: bytes) -> bool:
        """Whether this file will be due by itself."""
        candidate = self._candidates.get(path)
        return candidate is not None and candidate.queued

    def forget(self, path: bytes) -> None:
        """Wait no longer for this file (it is taken, gone, or can't be looked at)."""
        candidate = self._candidates.pop(path, None)
        if candidate is None:
            return
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


def _same_file(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two states are of one file, unwritten in between; a rename itself may move the ctime."""
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def _age(fingerprint: Fingerprint, wall_ns: int) -> float:
    """For how many seconds the timestamps vouch that nothing happened; none if they lie in the future."""
    return max(0, wall_ns - max(fingerprint.mtime_ns, fingerprint.ctime_ns)) / 1e9
