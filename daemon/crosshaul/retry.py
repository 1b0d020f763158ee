"""What happens after a failed try, as data: (diagnosis, tries so far) -> when again, or quarantine, or park.

Pure. The kinds of fault decide (docs/ARCHITECTURE.md); the figures come from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from crosshaul.errors import Diagnosis, Kind

_OF_THE_DESTINATION = frozenset({Kind.EXPIRED, Kind.DESTINATION})
_OF_THE_FILE = frozenset({Kind.FILE, Kind.EXISTS})
_SLOWS_EVERYONE = frozenset({Kind.THROTTLED, Kind.NETWORK})
_ASKS_FOR_CHECKSUM = frozenset({"PutObject", "CreateMultipartUpload"})


@dataclass(frozen=True, slots=True)
class Policy:
    """``retry`` of the configuration: seconds, and the number of tries after which a file is set aside."""

    initial: float = 1.0
    max: float = 300.0
    quarantine_after: int | None = None

    def delay(self, tries: int, jitter: float) -> float:
        """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): ``jitter`` in [0, 1)."""
        ceiling = min(self.max, self.initial * 2.0 ** min(tries, 60))
        return ceiling * jitter


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after ``delay`` seconds."""

    delay: float
    drop_multipart: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Quarantine the file."""

    diagnosis: Diagnosis


def decide(diagnosis: Diagnosis, tries: int, policy: Policy, jitter: float) -> Again | GiveUp:
    """What is to become of a file whose try number ``tries`` (0 for the first) ended in ``diagnosis``.

    Silence never sets a file aside, however many tries a partition costs: nobody has said anything against the file.
    """
    if diagnosis.kind in _OF_THE_FILE:
        return GiveUp(diagnosis)
    often_enough = policy.quarantine_after is not None and tries + 1 >= policy.quarantine_after
    if often_enough and diagnosis.kind is not Kind.NETWORK:
        return GiveUp(diagnosis)
    delay = max(policy.delay(tries, jitter), diagnosis.retry_after or 0.0)
    return Again(delay, drop_multipart=_unfinishable(diagnosis))


def _unfinishable(diagnosis: Diagnosis) -> bool:
    if diagnosis.kind in {Kind.RESTART_UPLOAD, Kind.UNSUPPORTED}:
        return True
    return diagnosis.kind is Kind.CORRUPT and diagnosis.operation == "CompleteMultipartUpload"


_OF_ALL = frozenset(
    {
        *("RequestTimeTooSkewed", "RequestExpired", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
        *("InvalidClientTokenId", "InvalidSecurity", "NoSuchBucket", "AccountProblem", "AllAccessDisabled"),
    }
)


def may_be_one_file_s(diagnosis: Diagnosis) -> bool:
    """Whether a fault of the destination's kind may concern one file alone, where others got through meanwhile.

    A policy may deny one key. But a clock, a signature or a session is wrong for all; that others got through then only
    says that it was not wrong a moment ago.
    """
    return diagnosis.kind is not Kind.EXPIRED and diagnosis.code not in _OF_ALL


def of_the_destination(diagnosis: Diagnosis) -> bool:
    """Whether the account or bucket refuses, rather than this file failing.

    So it does when not even the last checksum that could be asked for is known to it.
    """
    if diagnosis.kind is Kind.UNSUPPORTED:
        return diagnosis.operation in _ASKS_FOR_CHECKSUM
    return diagnosis.kind in _OF_THE_DESTINATION


def slows_everyone(diagnosis: Diagnosis) -> bool:
    """Whether the store, or the way to it, asks for less."""
    return diagnosis.kind in _SLOWS_EVERYONE


class Refused(Enum):
    """Whose fault a refusal is taken to be."""

    THIS_FILE = auto()
    PARKED = auto()
    """The destination's, and this is the first that is heard of it."""
    STILL_PARKED = auto()
    """A canary's."""
    IN_FLIGHT = auto()
    """Of a try that was under way when the destination was parked: nothing new."""


class Breaker:
    """A destination's circuit breaker. Times are monotonic seconds.

    A fault of the destination parks it, unless another file got through while this one was being refused: then the
    fault is this file's own. A parked destination is given one file at a time (the canary) until one gets through.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._parked_until: float | None = None
        self._parked_since = float("-inf")
        self._parked_times = 0
        self._last_success = float("-inf")

    @property
    def parked(self) -> bool:
        """Whether only a canary may go."""
        return self._parked_until is not None

    @property
    def retry_at(self) -> float | None:
        """When the next canary may go; None when not parked."""
        return self._parked_until

    def succeeded(self, now: float) -> bool:
        """A file got through; True if that ends a parking."""
        self._last_success = now
        self._parked_times = 0
        was_parked, self._parked_until = self.parked, None
        return was_parked

    def refused(self, started: float, now: float, jitter: float) -> Refused:
        """Note a fault of the destination in a try begun at ``started``."""
        if self._last_success >= started:
            return Refused.THIS_FILE
        if self._parked_until is not None and (now < self._parked_until or started < self._parked_since):
            return Refused.IN_FLIGHT
        verdict = Refused.PARKED if self._parked_until is None else Refused.STILL_PARKED
        # At least half the step: several canaries in quick succession would teach nothing.
        self._parked_until = now + self._policy.delay(self._parked_times, 0.5 + jitter / 2)
        self._parked_since = now
        self._parked_times += 1
        return verdict

    def probe_now(self, now: float) -> None:
        """Something changed for the better (new credentials): the canary need not wait."""
        if self._parked_until is not None:
            self._parked_until = min(self._parked_until, now)
