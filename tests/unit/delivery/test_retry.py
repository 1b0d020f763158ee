"""The outcome of a file after each kind of fault, and when a destination is parked."""

from __future__ import annotations

import pytest

from crosshaul.delivery.retry import (
    GiveUp,
    RetryAfter,
    RetryPolicy,
    decide,
    is_destination_fault,
    is_pushback,
    may_be_file_specific,
)
from crosshaul.errors import Diagnosis, FaultKind

POLICY = RetryPolicy(initial=1.0, max=60.0, quarantine_after=3)


def fault(kind: FaultKind, operation: str = "PutObject", retry_after: float | None = None) -> Diagnosis:
    return Diagnosis(kind, "Code", "message", operation, retry_after=retry_after)


@pytest.mark.parametrize("kind", [FaultKind.FILE, FaultKind.EXISTS])
def test_faults_of_the_file_set_it_aside_at_once(kind):
    """A permanent fault of the file quarantines it at its first attempt."""
    assert decide(fault(kind), 0, POLICY, 0.5) == GiveUp(fault(kind))


def unreadable(code: str = "FileUnreadable") -> Diagnosis:
    return Diagnosis(FaultKind.LOCAL, code, "Permission denied")


@pytest.mark.parametrize(
    "diagnosis",
    [*map(fault, (FaultKind.CORRUPT, FaultKind.RESTART_UPLOAD, FaultKind.DESTINATION)), unreadable()],
    ids=["corrupt", "restart", "refused", "unreadable"],
)
def test_a_file_that_fails_often_enough_is_set_aside(diagnosis):
    """Faults that concern the file quarantine it at attempt number quarantine_after."""
    assert isinstance(decide(diagnosis, 1, POLICY, 0.5), RetryAfter)
    assert isinstance(decide(diagnosis, 2, POLICY, 0.5), GiveUp)
    assert isinstance(decide(diagnosis, 10**9, RetryPolicy(), 0.5), RetryAfter)


@pytest.mark.parametrize(
    "diagnosis",
    [
        *map(fault, (FaultKind.NETWORK, FaultKind.THROTTLED)),
        *map(unreadable, ("RootMissing", "LocalResources", "FileSystem", "OSError", "MemoryError", "Source")),
    ],
    ids=lambda diagnosis: diagnosis.code if diagnosis.kind is FaultKind.LOCAL else diagnosis.kind,
)
def test_trouble_of_the_world_sets_no_file_aside(diagnosis):
    """Time-outs, load, a missing root and missing descriptors never quarantine a file, however many attempts fail."""
    assert isinstance(decide(diagnosis, 10**6, POLICY, 0.5), RetryAfter)


def test_a_file_that_can_t_be_read_is_tried_ever_more_seldom():
    """The pause of an unreadable file grows to an hour; a change of owner or mode ends it."""
    assert (
        decide(unreadable(), 40, RetryPolicy(max=60.0), 0.5)
        == RetryAfter(1800.0)
        == decide(unreadable(), 40, RetryPolicy(), 0.5)
    )
    assert decide(fault(FaultKind.CORRUPT), 40, RetryPolicy(max=60.0), 0.5) == RetryAfter(30.0)


def test_a_pause_the_store_asks_for_is_kept():
    """Retry-After lengthens the delay and never shortens it."""
    assert decide(fault(FaultKind.THROTTLED, retry_after=7.0), 0, POLICY, 0.5) == RetryAfter(7.0)
    assert decide(fault(FaultKind.THROTTLED, retry_after=7.0), 5, RetryPolicy(1.0, 60.0), 0.5) == RetryAfter(16.0)


@pytest.mark.parametrize(
    ("kind", "operation", "dropped"),
    [
        (FaultKind.RESTART_UPLOAD, "CompleteMultipartUpload", True),
        (FaultKind.CORRUPT, "CompleteMultipartUpload", True),
        (FaultKind.CORRUPT, "UploadPart", False),
        (FaultKind.UNSUPPORTED, "UploadPart", True),
        (FaultKind.THROTTLED, "CompleteMultipartUpload", False),
        (FaultKind.NETWORK, "UploadPart", False),
    ],
)
def test_an_unfinishable_upload_starts_over(kind, operation, dropped):
    """A multipart upload is dropped if it can't be completed, and kept through temporary faults."""
    decision = decide(fault(kind, operation), 0, POLICY, 0.5)
    assert isinstance(decision, RetryAfter)
    assert decision.drop_multipart is dropped


def test_whose_fault_it_is():
    """Faults of account and bucket park, load reduces the requests, and all others are the file's."""
    assert {kind for kind in FaultKind if is_destination_fault(fault(kind, "HeadObject"))} == {
        FaultKind.EXPIRED,
        FaultKind.DESTINATION,
    }
    assert {kind for kind in FaultKind if is_pushback(fault(kind))} == {FaultKind.THROTTLED, FaultKind.NETWORK}


def test_a_store_that_knows_no_checksum_is_at_fault_itself():
    """If the last checksum is refused the destination parks; for a part the refusal proves less."""
    assert is_destination_fault(fault(FaultKind.UNSUPPORTED, "PutObject"))
    assert is_destination_fault(fault(FaultKind.UNSUPPORTED, "CreateMultipartUpload"))
    assert not is_destination_fault(fault(FaultKind.UNSUPPORTED, "UploadPart"))


@pytest.mark.parametrize(
    ("kind", "code", "one"),
    [
        (FaultKind.DESTINATION, "AccessDenied", True),
        (FaultKind.DESTINATION, "SomethingNew", True),
        (FaultKind.DESTINATION, "RequestTimeTooSkewed", False),
        (FaultKind.DESTINATION, "SignatureDoesNotMatch", False),
        (FaultKind.EXPIRED, "ExpiredToken", False),
    ],
)
def test_a_clock_or_a_session_is_no_file_s_own_fault(kind, code, one):
    """A refusal while other files succeed is the file's own only if its code can concern one file."""
    assert may_be_file_specific(Diagnosis(kind, code, "no")) is one
