"""A destination's circuit breaker: stop sending while failures concern all files. Pure.

The breaker trips for one of two reasons. *Refused*: the account or bucket refuses, which parks the destination.
*Unreachable*: several files in a row fail (no connection, time-outs, 5xx, SlowDown) without one success. While it is
tripped, one file at a time is sent, the canary. The first success, a part of a file included, resets the breaker.
Times are monotonic seconds. Files are identified by their record ids.
"""

from __future__ import annotations

from enum import Enum, auto

from crosshaul.delivery.canary_schedule import CanarySchedule
from crosshaul.delivery.refusal_history import RefusalHistory
from crosshaul.delivery.retry import RetryPolicy

_TRIP_AFTER = 5
"""Consecutive pushbacks, of more than one file, that trip the breaker."""
_PUSHBACKS_PER_HANG = 3
"""A request that hung has cost a whole deadline, and counts as this many pushbacks."""
_MIN_SILENCE_SECONDS = 0.5
"""Shortest time without a success, from the first pushback on, that trips the breaker: a store that throttles some of
the calls accepts others meanwhile, but refuses faster than it accepts."""
_CONCURRENT_SECONDS = 5.0
"""A success within this time before a refusal counts as concurrent: a large file makes many requests."""


class TripReason(Enum):
    """The reason why the breaker is tripped."""

    REFUSED = auto()
    UNREACHABLE = auto()


class FaultScope(Enum):
    """The scope that a failed attempt is attributed to."""

    THIS_FILE = auto()
    UNDECIDED = auto()
    """Other files succeeded meanwhile, yet the fault can't concern this file alone: retry soon, count nothing."""
    TRIPPED = auto()
    """The destination: this failure tripped the breaker."""
    STILL_TRIPPED = auto()
    """The destination: a canary failed."""
    IN_FLIGHT = auto()
    """The destination: the attempt was in flight when the breaker tripped, and says nothing new."""


class _PushbackStreak:
    """Consecutive pushbacks."""

    def __init__(self) -> None:
        self.length = 0
        self._first_file: int | None = None
        self._has_several_files = False
        self._silent_since = 0.0

    def add(self, file: int, now: float, *, hung: bool) -> None:
        """Count a pushback."""
        if self.length == 0:
            self._first_file, self._has_several_files = file, False
            self._silent_since = float("-inf") if hung else now  # a deadline has passed already
        self.length += _PUSHBACKS_PER_HANG if hung else 1
        self._has_several_files |= file != self._first_file

    def is_outage(self, now: float, last_success_at: float) -> bool:
        """Return whether enough files were pushed back, for long enough, without a success."""
        silent = now - max(last_success_at, self._silent_since) >= _MIN_SILENCE_SECONDS
        return self.length >= _TRIP_AFTER and self._has_several_files and silent


class Breaker:
    """Decides whether all files may be sent, or only canaries."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.reason: TripReason | None = None
        self.refusals = RefusalHistory()
        self.canaries = CanarySchedule(policy)
        self._last_success_file: int | None = None
        self._last_success_at = self._last_other_success_at = float("-inf")
        self._pushbacks = _PushbackStreak()
        self._refused_files = self.refusals.files

    @property
    def tripped(self) -> bool:
        """True if only canaries may be sent."""
        return self.reason is not None

    def record_success(self, file: int, now: float) -> TripReason | None:
        """Record that the store accepted a request for ``file``; return the trip reason that this ends, if any."""
        if file != self._last_success_file:
            self._last_success_file, self._last_other_success_at = file, self._last_success_at
        self._last_success_at = now
        self._pushbacks.length = 0
        if self._refused_files:
            self._refused_files.pop(file, None)
        return self._reset() if self.reason is not None else None

    def record_response(self, file: int, now: float) -> TripReason | None:
        """Record a failure that concerns ``file`` alone; return the trip reason that this ends, if any.

        A store that responds is reachable.
        """
        if self.reason is TripReason.UNREACHABLE:
            return self._reset()
        if self.reason is None:
            self._pushbacks.length = 0
        self.canaries.record_inconclusive(file, now)
        return None

    def record_refusal(
        self, file: int, started: float, now: float, jitter: float, *, may_be_file_specific: bool
    ) -> FaultScope:
        """Record a refusal of an attempt that began at ``started``, and return what it is attributed to."""
        concurrent_success = self._other_success_at(file) >= max(started, now - _CONCURRENT_SECONDS)
        if may_be_file_specific and (
            self.refusals.is_file_specific(file, now, self._other_success_at(file)) or concurrent_success
        ):
            self.canaries.record_inconclusive(file, now)
            return FaultScope.THIS_FILE
        if concurrent_success:
            return FaultScope.UNDECIDED
        self.refusals.add(file, now)
        if self.reason is None:
            return self._trip(TripReason.REFUSED, now, jitter)
        if file not in self.canaries:
            return FaultScope.IN_FLIGHT
        if self.reason is TripReason.UNREACHABLE:
            return self._trip(TripReason.REFUSED, now, jitter)
        self.canaries.record_failure(file, now, jitter)
        return FaultScope.STILL_TRIPPED

    def record_pushback(
        self, file: int, now: float, retry_after: float | None, jitter: float, *, hung: bool = False
    ) -> FaultScope:
        """Record a failure caused by the store's load or the network, and return what it is attributed to.

        ``retry_after``: seconds that the store asked for. ``hung``: the request ran into a deadline.
        """
        if retry_after is not None:
            self.canaries.postpone(now + retry_after)
        if self.reason is not None:
            if file not in self.canaries:
                return FaultScope.IN_FLIGHT
            self.canaries.record_failure(file, now, jitter)
            return FaultScope.STILL_TRIPPED
        self._pushbacks.add(file, now, hung=hung)
        if self._pushbacks.is_outage(now, self._last_success_at):
            return self._trip(TripReason.UNREACHABLE, now, jitter)
        return FaultScope.THIS_FILE

    def allows(self, file: int) -> bool:
        """Return whether a request for ``file`` may be sent: any if not tripped, else only canaries.

        The file that succeeded last may continue too: the next part of a large file tells as much as a canary.
        """
        return self.reason is None or file in self.canaries or file == self._last_success_file

    def _other_success_at(self, file: int) -> float:
        return self._last_success_at if file != self._last_success_file else self._last_other_success_at

    def _trip(self, reason: TripReason, now: float, jitter: float) -> FaultScope:
        self.reason = reason
        self.canaries.start(now, jitter, refused=reason is TripReason.REFUSED)
        return FaultScope.TRIPPED

    def _reset(self) -> TripReason | None:
        reason, self.reason = self.reason, None
        self.canaries.stop()
        self._pushbacks.length = 0
        return reason
