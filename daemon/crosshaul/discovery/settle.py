"""Decide which of the files that were seen have settled, and when to check the others again. Pure.

A file settles when size, mtime, ctime and inode have not changed for ``quiet`` seconds of our own clock. Its time
stamps can prove this for the time before it was first seen, as far as they can be compared with our clock
(``FileClock``). When its writer finishes it (a rename into place), the wait ends at once. With a marker, only the
marker counts. A file that never stands still is taken after ``max_wait`` as it is; its upload refuses bytes that change
meanwhile, so that no mixed state is delivered.

In every case a state is taken only when its tick is over, so that a later write gets another time stamp. Otherwise a
change of the same size would not be seen (Git calls such files "racily clean").

Times: ``now`` in seconds of the monotonic clock, ``wall_ns`` in nanoseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from crosshaul.discovery.unsettled import UnsettledFile, UnsettledFiles, is_same_file
from crosshaul.files.file_clock import ClockSteps, FileClock, is_coarse
from crosshaul.files.marker import Marker
from crosshaul.model import Fingerprint, Recorded, SettleReason, Sighting

_MAX_SKEW_SECONDS = 86_400.0
"""By how much a file server's clock may be wrong: a whole time zone, and more."""


@dataclass(frozen=True, slots=True)
class AtRest:
    """The file has settled; it is dropped from the unsettled files."""

    reason: SettleReason


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """The file has to be checked again at ``due`` (monotonic seconds)."""

    due: float


@dataclass(frozen=True, slots=True)
class WaitForMarker:
    """The file has to be checked again when ``marker`` (a path below the root) appears."""

    marker: bytes


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Too many files are unsettled: a later scan has to find this one again."""


Verdict = AtRest | WaitUntil | WaitForMarker | TurnedAway


class Settler:
    """The settle rule of one route. Has no clock and reads no file."""

    def __init__(
        self, quiet: float, max_wait: float, marker: str | None, unsettled: UnsettledFiles | None = None
    ) -> None:
        self._quiet = quiet
        self._max_wait = max_wait
        self.marker = Marker(marker) if marker else None
        self.file_clock = FileClock()
        """The file system's clock; the caller keeps it up to date."""
        self.unsettled = UnsettledFiles() if unsettled is None else unsettled
        self._by_path = self.unsettled.by_path
        self._steps = ClockSteps()

    def observe(
        self,
        sighting: Sighting,
        now: float,
        wall_ns: int,
        *,
        finished: bool = False,
        marked: bool = False,
        scanned: bool = False,
        closed: bool | None = None,
    ) -> Verdict:
        """Judge a file by its present and its previous state.

        ``finished``: its writer has finished it (renamed it into place, for example). ``marked``: its marker is valid.
        ``scanned``: a scan found it, rather than an event that it changed just now. ``closed``: whether its latest
        event is that a writer closed it, or that it changed; None if there was no such event.
        """
        self._steps.note(now, wall_ns)
        before = self._by_path.get(sighting.path)
        candidate = self._candidate(sighting, before, now, wall_ns, scanned=scanned)
        candidate.closed = closed if closed is not None else before is not None and before.closed
        reason = self._reason(candidate, before, now, finished=finished, marked=marked)
        if reason is None:
            return self._wait_for_rest(candidate, before)
        left = self._left_of_tick(candidate, now, wall_ns, scanned=scanned)
        # A file that never stands still would have a new tick at each check: wait for one tick only.
        if left > 0 and not (before is not None and before.reason is SettleReason.CEILING):
            candidate.reason, candidate.due = reason, now + left
            return self._wait(candidate, before)
        self.unsettled.forget(sighting.path)
        return AtRest(reason)

    def _candidate(
        self, sighting: Sighting, before: UnsettledFile | None, now: float, wall_ns: int, *, scanned: bool
    ) -> UnsettledFile:
        if before is not None and self._previous_state(before, sighting) == sighting.fingerprint:
            return UnsettledFile(sighting, before.first_seen, before.seen, before.still_since)
        proven = self._proven_rest(sighting.fingerprint, wall_ns, first=before is None and scanned)
        if proven and is_coarse(sighting.fingerprint):
            # The change may be later than a truncated time stamp says, by up to a tick.
            proven = max(0.0, proven - self.file_clock.tick(sighting.fingerprint))
        return UnsettledFile(sighting, before.first_seen if before is not None else now, now, now - proven)

    def _previous_state(self, before: UnsettledFile, sighting: Sighting) -> Fingerprint:
        """Return the previous state; with the new inode if the file system does not keep inode numbers."""
        state = before.sighting.fingerprint
        return state if self.file_clock.keeps_inodes else state._replace(inode=sighting.fingerprint.inode)

    def _reason(
        self, candidate: UnsettledFile, before: UnsettledFile | None, now: float, *, finished: bool, marked: bool
    ) -> SettleReason | None:
        """Return why the file has settled, or None. A marker or a finished write counts until the content changes."""
        known = None
        sighting = candidate.sighting
        if before is not None and is_same_file(self._previous_state(before, sighting), sighting.fingerprint):
            known = before.reason
        if self.marker is not None:
            return SettleReason.MARKER if marked or known is SettleReason.MARKER else None
        if finished or known is SettleReason.FINISHED:
            return SettleReason.FINISHED
        if now - candidate.still_since >= self._quiet:
            return SettleReason.CLOSED if candidate.closed else SettleReason.QUIET
        return SettleReason.CEILING if now - candidate.first_seen >= self._max_wait else None

    def _proven_rest(self, fingerprint: Fingerprint, wall_ns: int, *, first: bool) -> float:
        """Return for how many seconds the time stamps prove that the file did not change; 0 if they are in the future.

        A file server's stamps prove it only for a file that a scan sees for the first time (``first``). A file that was
        seen before, or that had an event, is known to have changed just now.
        """
        latest = max(fingerprint.mtime_ns, fingerprint.ctime_ns)
        if self.file_clock.ours:
            doubt = self._steps.since(latest)
        elif first:
            doubt = _MAX_SKEW_SECONDS
        else:
            return 0.0
        return max(0.0, (wall_ns - latest) / 1e9 - doubt)

    def _left_of_tick(self, candidate: UnsettledFile, now: float, wall_ns: int, *, scanned: bool) -> float:
        """Return for how many seconds the file could still change without a change of its time stamps."""
        fingerprint = candidate.sighting.fingerprint
        tick = self.file_clock.tick(fingerprint)
        if tick <= now - candidate.seen:
            return 0.0
        first = scanned and candidate.seen == now
        return tick - max(now - candidate.seen, self._proven_rest(fingerprint, wall_ns, first=first))

    def _wait_for_rest(self, candidate: UnsettledFile, before: UnsettledFile | None) -> Verdict:
        if self.marker is None:
            candidate.due = min(candidate.still_since + self._quiet, candidate.first_seen + self._max_wait)
            return self._wait(candidate, before)
        candidate.marker = self.marker.of(candidate.sighting.path)
        return WaitForMarker(candidate.marker) if self.unsettled.keep(candidate, before) else TurnedAway()

    def _wait(self, candidate: UnsettledFile, before: UnsettledFile | None) -> Verdict:
        if not self.unsettled.keep(candidate, before):
            return TurnedAway()
        self.unsettled.schedule(candidate, before)
        return WaitUntil(candidate.due)


def with_recorded_inode(sighting: Sighting, record: Recorded | None) -> Sighting | None:
    """Return the sighting with its recorded inode if only the inode differs from the record, else None."""
    if record is None or record.fingerprint[:3] != sighting.fingerprint[:3]:
        return None
    return sighting._replace(fingerprint=record.fingerprint)
