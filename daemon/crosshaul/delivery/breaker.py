"""A destination's circuit breaker: what is judged once for all its files, rather than file by file. Pure.

It trips for one of two reasons. *Refused*: the account or bucket refuses, which parks the destination. *Unreachable*:
nothing gets through (no connection, time-outs, 5xx, SlowDown), several files in a row, without one success. While it is
tripped one file at a time goes, the canary; the first thing that the store takes, a part of a file included, resets it.
Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from crosshaul.delivery.retry import RetryPolicy

_TRIP_AFTER = 5
"""Push-backs in a row, of more than one file, before nothing counts as getting through."""
_SILENCE_COUNTS = 3
"""A request that hung has cost a whole deadline, and counts as so many push-backs."""
_SILENT_SECONDS = 0.5
"""And so long without a success, from the first of them on: a store that throttles a part of the calls takes others
meanwhile, but it refuses faster than it takes."""
_SHARE_OF_OUTAGE = 0.25
"""The canaries of an outage come at most so much of its length apart: recovery takes no longer than that."""
_RECENT_SECONDS = 600.0
"""For so long a success after a file's refusal says that the refusal may be the file's own."""
_REQUEST_SECONDS = 5.0
"""A success counts as beside a refused request for so long: a large file begins many requests after the first."""
_PROMPT_SECONDS, _PROMPT_SHARE, _LATEST_PROMPT_SECONDS = 1.0, 1 / 30, 10.0
"""How far apart the canaries are that new files bring about: a second; in an outage more, the longer it lasts."""
_PATIENCE_SECONDS, _MOST_CANARIES = 5.0, 4
"""A new file waits so long for a canary that is under way; then it goes beside it, as one of so many at the most."""
_NEXT_SECONDS = 0.1
"""From a canary that said nothing of the destination to the next one."""
_REMEMBERED = 10_000
"""Refused files that are kept in mind."""


class TripReason(Enum):
    """Why only a canary goes."""

    REFUSED = auto()
    UNREACHABLE = auto()


class FaultScope(Enum):
    """Whose fault a failed try is taken to be."""

    THIS_FILE = auto()
    UNDECIDED = auto()
    """Others got through beside it, and yet it can't be this file's: it is tried again soon, and nothing is counted."""
    TRIPPED = auto()
    """The destination's, and this is the first that is heard of it."""
    STILL_TRIPPED = auto()
    """A canary's."""
    IN_FLIGHT = auto()
    """Of a try that was under way when the breaker tripped: nothing new."""


@dataclass(slots=True)
class _Refusals:
    """What is remembered of a file that was refused."""

    first_at: float
    uncounted: int = 0
    """Refusals that were not counted against the file."""
    own: bool = False
    """Others got through after it was refused, and it was refused again."""


class Breaker:
    """Decides whether files go, or only a canary. A file is known by the number of its record."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.reason: TripReason | None = None
        self.retry_at: float | None = None
        """When the next canary may go; None when not tripped."""
        self._canaries: set[int] = set()
        self._tripped_at = 0.0
        self._canary_at = 0.0
        self._failed_canaries = 0
        self._not_before = 0.0
        self._taken_file: int | None = None
        self._taken_at = self._other_taken_at = float("-inf")
        self._pushed_back = 0
        """Push-backs in a row."""
        self._first_pushed_back: int | None = None
        self._several_pushed_back = False
        self._row_began = 0.0
        self._refusals: dict[int, _Refusals] = {}

    @property
    def tripped(self) -> bool:
        """Whether only a canary may go."""
        return self.reason is not None

    def taken(self, file: int, now: float) -> TripReason | None:
        """Note that the store took something of ``file``; gives the reason that this ends."""
        if file != self._taken_file:
            self._taken_file, self._other_taken_at = file, self._taken_at
        self._taken_at = now
        self._pushed_back = 0
        if self._refusals:
            self._refusals.pop(file, None)
        return self._reset() if self.reason is not None else None

    def answered(self, file: int, now: float) -> TripReason | None:
        """Note an answer that speaks of the file alone: what answers is reached; gives the reason that this ends."""
        if self.reason is TripReason.UNREACHABLE:
            return self._reset()
        if self.reason is None:
            self._pushed_back = 0
        self.said_nothing(file, now)
        return None

    def said_nothing(self, file: int, now: float) -> None:
        """Note that the try of ``file`` says nothing of the destination: if it was the canary, another may go soon."""
        if file in self._canaries:
            self._canaries.discard(file)
            if self.retry_at is not None:
                self.retry_at = max(now + _NEXT_SECONDS, self._not_before)

    def refused(self, file: int, started: float, now: float, jitter: float, *, file_specific: bool) -> FaultScope:
        """Judge a refusal in a try begun at ``started``; ``file_specific``: it may concern this file alone."""
        beside = self._others_taken_at(file) >= max(started, now - _REQUEST_SECONDS)
        if file_specific and self._is_own(file, now, beside=beside):
            self.said_nothing(file, now)
            return FaultScope.THIS_FILE
        if beside:
            return FaultScope.UNDECIDED
        self._remember(file, now)
        if self.reason is None:
            return self._trip(TripReason.REFUSED, now, jitter)
        if file not in self._canaries:
            return FaultScope.IN_FLIGHT
        self._canaries.discard(file)
        if self.reason is TripReason.UNREACHABLE:
            return self._trip(TripReason.REFUSED, now, jitter)
        return self._back_off(now, jitter)

    def pushed_back(
        self, file: int, now: float, retry_after: float | None, jitter: float, *, silent: bool = False
    ) -> FaultScope:
        """Judge a try that nothing came of because of the store's load or the way to it; ``silent``: it hung."""
        if retry_after is not None:
            self._not_before = max(self._not_before, now + retry_after)
        if self.reason is not None:
            if file not in self._canaries:
                return FaultScope.IN_FLIGHT
            self._canaries.discard(file)
            return self._back_off(now, jitter)
        if self._pushed_back == 0:
            self._first_pushed_back, self._several_pushed_back = file, False
            self._row_began = float("-inf") if silent else now  # a whole deadline has passed before it
        self._pushed_back += _SILENCE_COUNTS if silent else 1
        self._several_pushed_back |= file != self._first_pushed_back
        nothing_else = now - max(self._taken_at, self._row_began) >= _SILENT_SECONDS
        if self._pushed_back >= _TRIP_AFTER and self._several_pushed_back and nothing_else:
            return self._trip(TripReason.UNREACHABLE, now, jitter)
        return FaultScope.THIS_FILE

    def uncounted(self, file: int) -> int:
        """How often ``file`` was refused without its being counted; they count from now on."""
        known = self._refusals.get(file)
        if known is None:
            return 0
        count, known.uncounted = known.uncounted, 0
        return count

    # Canaries

    def canary_due(self, now: float) -> bool:
        """Whether the next canary may go."""
        return not self._canaries and self.retry_at is not None and self.retry_at <= now

    def is_canary(self, file: int) -> bool:
        """Whether ``file`` may go although the breaker is tripped."""
        return file in self._canaries

    def may_go(self, file: int) -> bool:
        """Whether a request for ``file`` may begin: all may, but canaries alone while tripped.

        So may the file of which something was taken last: the next part of a large one tells as much as a canary.
        """
        return self.reason is None or file in self._canaries or file == self._taken_file

    def next_canary_at(self) -> float | None:
        """When the next canary may go; None while there is one, and when not tripped."""
        return None if self._canaries else self.retry_at

    def prompt_at(self) -> float | None:
        """When a file that arrived since the breaker tripped may be a canary; None while there are enough."""
        if self.reason is None or len(self._canaries) >= _MOST_CANARIES:
            return None
        gap = _PATIENCE_SECONDS if self._canaries else _PROMPT_SECONDS
        if self.reason is TripReason.UNREACHABLE:
            gap = min(_LATEST_PROMPT_SECONDS, max(gap, (self._canary_at - self._tripped_at) * _PROMPT_SHARE))
        return max(self._canary_at + gap, self._not_before)

    def canary_goes(self, file: int, now: float) -> None:
        """Note that ``file`` is a canary."""
        self._canaries.add(file)
        self._canary_at = now

    def forget_canaries(self) -> None:
        """None is under way: the loop has begun anew."""
        self._canaries.clear()

    def probe_now(self, now: float) -> None:
        """Something changed for the better (new credentials): the canary need not wait."""
        if self.retry_at is not None:
            self.retry_at = min(self.retry_at, now)

    def _others_taken_at(self, file: int) -> float:
        return self._taken_at if file != self._taken_file else self._other_taken_at

    def _is_own(self, file: int, now: float, *, beside: bool) -> bool:
        """Whether the refusal is the file's own: others got through beside it, or after it was refused before."""
        known, others_at = self._refusals.get(file), self._others_taken_at(file)
        if known is not None and known.first_at < others_at and now - others_at <= _RECENT_SECONDS:
            known.own = True
        return beside or (known is not None and known.own)

    def _remember(self, file: int, now: float) -> None:
        known = self._refusals.get(file)
        if known is None:
            if len(self._refusals) >= _REMEMBERED:
                del self._refusals[next(iter(self._refusals))]
            known = self._refusals[file] = _Refusals(now)
        known.uncounted += 1

    def _trip(self, reason: TripReason, now: float, jitter: float) -> FaultScope:
        self.reason = reason
        self._tripped_at = self._canary_at = now
        self._canaries.clear()
        self._failed_canaries = 0
        self._schedule(now, jitter)
        return FaultScope.TRIPPED

    def _back_off(self, now: float, jitter: float) -> FaultScope:
        self._failed_canaries += 1
        self._schedule(now, jitter)
        return FaultScope.STILL_TRIPPED

    def _schedule(self, now: float, jitter: float) -> None:
        policy = self._policy
        if self.reason is TripReason.REFUSED:
            # At least half the step: several canaries in quick succession would teach nothing.
            delay = policy.delay(self._failed_canaries, 0.5 + jitter / 2)
        else:
            ceiling = min(policy.max, max(policy.initial, _SHARE_OF_OUTAGE * (now - self._tripped_at)))
            delay = ceiling * max(0.1, jitter)
        self.retry_at = max(now + delay, self._not_before)

    def _reset(self) -> TripReason | None:
        reason, self.reason = self.reason, None
        self.retry_at = None
        self._canaries.clear()
        self._not_before = 0.0
        self._failed_canaries = 0
        self._pushed_back = 0
        return reason
