"""What happens to a file after a failed try, as data: (diagnosis, tries so far) -> when again, or quarantine.

Pure. The kinds of fault decide (docs/ARCHITECTURE.md); the figures come from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crosshaul.concurrency.backoff import Backoff
from crosshaul.errors import Diagnosis, FaultKind

_OF_THE_DESTINATION = frozenset({FaultKind.EXPIRED, FaultKind.DESTINATION})
_OF_THE_FILE = frozenset({FaultKind.FILE, FaultKind.EXISTS})
_SLOWS_EVERYONE = frozenset({FaultKind.THROTTLED, FaultKind.NETWORK})
_SPEAKS_OF_THE_FILE = frozenset(
    {FaultKind.CORRUPT, FaultKind.RESTART_UPLOAD, FaultKind.DESTINATION, FaultKind.UNSUPPORTED}
)
"""Kinds that count towards ``quarantine_after``. A fault of the destination's kind gets here only as one file's own."""
UNREADABLE = "FileUnreadable"
"""Our code for a file that is there and can't be read; other local faults are the machine's, or its file system's."""
_UNREADABLE_MAX_SECONDS = 3600.0
"""To this the pause of such a file grows: changing its owner or mode is noticed at once, and it is tried again."""
_ASKS_FOR_CHECKSUM = frozenset({"PutObject", "CreateMultipartUpload"})


@dataclass(frozen=True, slots=True)
class RetryPolicy(Backoff):
    """``retry`` of the configuration: the back-off, and the number of tries after which a file is quarantined."""

    quarantine_after: int | None = None


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again after ``delay`` seconds."""

    delay: float
    drop_multipart: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Quarantine the file."""

    diagnosis: Diagnosis


def decide(diagnosis: Diagnosis, tries: int, policy: RetryPolicy, jitter: float) -> RetryAfter | GiveUp:
    """What is to become of a file whose try number ``tries`` (0 for the first) ended in ``diagnosis``.

    Only what speaks of the file sets it aside. Silence, load, and trouble of the machine never do, however many tries
    they cost.
    """
    if diagnosis.kind in _OF_THE_FILE:
        return GiveUp(diagnosis)
    often_enough = policy.quarantine_after is not None and tries + 1 >= policy.quarantine_after
    if often_enough and _speaks_of_the_file(diagnosis):
        return GiveUp(diagnosis)
    if _is_unreadable(diagnosis):
        policy = replace(policy, max=max(policy.max, _UNREADABLE_MAX_SECONDS))
    delay = max(policy.delay(tries, jitter), diagnosis.retry_after or 0.0)
    return RetryAfter(delay, drop_multipart=_unfinishable(diagnosis))


def _speaks_of_the_file(diagnosis: Diagnosis) -> bool:
    return diagnosis.kind in _SPEAKS_OF_THE_FILE or _is_unreadable(diagnosis)


def _is_unreadable(diagnosis: Diagnosis) -> bool:
    return diagnosis.kind is FaultKind.LOCAL and diagnosis.code == UNREADABLE


def _unfinishable(diagnosis: Diagnosis) -> bool:
    if diagnosis.kind in {FaultKind.RESTART_UPLOAD, FaultKind.UNSUPPORTED}:
        return True
    return diagnosis.kind is FaultKind.CORRUPT and diagnosis.operation == "CompleteMultipartUpload"


_OF_ALL = frozenset(
    {
        *("RequestTimeTooSkewed", "RequestExpired", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
        *("InvalidClientTokenId", "InvalidSecurity", "NoSuchBucket", "AccountProblem", "AllAccessDisabled"),
    }
)


def may_be_file_specific(diagnosis: Diagnosis) -> bool:
    """Whether a fault of the destination's kind may concern one file alone, where others got through meanwhile.

    A policy may deny one key. But a clock, a signature or a session is wrong for all; that others got through then only
    says that it was not wrong a moment ago.
    """
    return diagnosis.kind is not FaultKind.EXPIRED and diagnosis.code not in _OF_ALL


def of_the_destination(diagnosis: Diagnosis) -> bool:
    """Whether the account or bucket refuses, rather than this file failing.

    So it does when not even the last checksum that could be asked for is known to it.
    """
    if diagnosis.kind is FaultKind.UNSUPPORTED:
        return diagnosis.operation in _ASKS_FOR_CHECKSUM
    return diagnosis.kind in _OF_THE_DESTINATION


def slows_everyone(diagnosis: Diagnosis) -> bool:
    """Whether the store, or the way to it, asks for less."""
    return diagnosis.kind in _SLOWS_EVERYONE
