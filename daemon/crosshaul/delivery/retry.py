"""Decide what happens to a file after a failed attempt: retry after a delay, or quarantine. Pure.

The decision depends on the kind of the fault (docs/ARCHITECTURE.md); the delays come from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crosshaul.concurrency.backoff import Backoff
from crosshaul.errors import Diagnosis, FaultKind

_DESTINATION_KINDS = frozenset({FaultKind.EXPIRED, FaultKind.DESTINATION})
_FILE_KINDS = frozenset({FaultKind.FILE, FaultKind.EXISTS})
_PUSHBACK_KINDS = frozenset({FaultKind.THROTTLED, FaultKind.NETWORK})
_SPEAKS_FILE_KINDS = frozenset(
    {FaultKind.CORRUPT, FaultKind.RESTART_UPLOAD, FaultKind.DESTINATION, FaultKind.UNSUPPORTED}
)
"""Kinds that count towards ``quarantine_after``. Faults of kind DESTINATION get here only if they are file-specific."""
UNREADABLE = "FileUnreadable"
"""Crosshaul's code for a file that exists and can't be read; other local faults concern the machine or file system."""
_UNREADABLE_MAX_SECONDS = 3600.0
"""Longest delay for an unreadable file: a change of its owner or mode is noticed at once and retried at once."""
_ASKS_FOR_CHECKSUM = frozenset({"PutObject", "CreateMultipartUpload"})


@dataclass(frozen=True, slots=True)
class RetryPolicy(Backoff):
    """``retry`` of the configuration: the back-off, and the number of tries after which a file is quarantined."""

    quarantine_after: int | None = None


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Retry the file after ``delay`` seconds."""

    delay: float
    drop_multipart: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Quarantine the file."""

    diagnosis: Diagnosis


RetryDecision = RetryAfter | GiveUp


def decide(diagnosis: Diagnosis, attempts: int, policy: RetryPolicy, jitter: float) -> RetryDecision:
    """Decide about a file whose attempt ended in ``diagnosis``; ``attempts``: the number of earlier ones.

    Only a fault of the file itself quarantines it. Time-outs, load and faults of this machine never do, no matter how
    many attempts they cost.
    """
    if diagnosis.kind in _FILE_KINDS:
        return GiveUp(diagnosis)
    exhausted = policy.quarantine_after is not None and attempts + 1 >= policy.quarantine_after
    if exhausted and _may_quarantine(diagnosis):
        return GiveUp(diagnosis)
    if _is_unreadable(diagnosis):
        policy = replace(policy, max=max(policy.max, _UNREADABLE_MAX_SECONDS))
    delay = max(policy.delay(attempts, jitter), diagnosis.retry_after or 0.0)
    return RetryAfter(delay, drop_multipart=_invalidates_multipart(diagnosis))


def _may_quarantine(diagnosis: Diagnosis) -> bool:
    return diagnosis.kind in _SPEAKS_FILE_KINDS or _is_unreadable(diagnosis)


def _is_unreadable(diagnosis: Diagnosis) -> bool:
    return diagnosis.kind is FaultKind.LOCAL and diagnosis.code == UNREADABLE


def _invalidates_multipart(diagnosis: Diagnosis) -> bool:
    if diagnosis.kind in {FaultKind.RESTART_UPLOAD, FaultKind.UNSUPPORTED}:
        return True
    return diagnosis.kind is FaultKind.CORRUPT and diagnosis.operation == "CompleteMultipartUpload"


_NEVER_FILE_SPECIFIC = frozenset(
    {
        *("RequestTimeTooSkewed", "RequestExpired", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
        *("InvalidClientTokenId", "InvalidSecurity", "NoSuchBucket", "AccountProblem", "AllAccessDisabled"),
    }
)


def may_be_file_specific(diagnosis: Diagnosis) -> bool:
    """Return whether a destination fault may concern one file alone, if other files succeeded meanwhile.

    A policy may deny one key. But a wrong clock, signature or session is wrong for all files: success of another file
    then only shows that it was right a moment ago.
    """
    return diagnosis.kind is not FaultKind.EXPIRED and diagnosis.code not in _NEVER_FILE_SPECIFIC


def is_destination_fault(diagnosis: Diagnosis) -> bool:
    """Return whether the account or bucket refuses, including a store that supports none of the checksums."""
    if diagnosis.kind is FaultKind.UNSUPPORTED:
        return diagnosis.operation in _ASKS_FOR_CHECKSUM
    return diagnosis.kind in _DESTINATION_KINDS


def is_pushback(diagnosis: Diagnosis) -> bool:
    """Return whether the store is overloaded or the network fails: reasons to send less."""
    return diagnosis.kind in _PUSHBACK_KINDS
