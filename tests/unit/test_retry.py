"""retry: what becomes of a file after each kind of fault, and when a destination is parked."""

from __future__ import annotations

import pytest

from crosshaul.errors import Diagnosis, Kind
from crosshaul.retry import (
    Again,
    GiveUp,
    Policy,
    decide,
    may_be_one_file_s,
    of_the_destination,
    slows_everyone,
)

POLICY = Policy(initial=1.0, max=60.0, quarantine_after=3)


def fault(kind: Kind, operation: str = "PutObject", retry_after: float | None = None) -> Diagnosis:
    return Diagnosis(kind, "Code", "message", operation, retry_after=retry_after)


@pytest.mark.parametrize("kind", [Kind.FILE, Kind.EXISTS])
def test_faults_of_the_file_set_it_aside_at_once(kind):
    """A fault of the file for good quarantines it at its first try."""
    assert decide(fault(kind), 0, POLICY, 0.5) == GiveUp(fault(kind))


def unreadable(code: str = "FileUnreadable") -> Diagnosis:
    return Diagnosis(Kind.LOCAL, code, "Permission denied")


@pytest.mark.parametrize(
    "diagnosis",
    [*map(fault, (Kind.CORRUPT, Kind.RESTART_UPLOAD, Kind.DESTINATION)), unreadable()],
    ids=["corrupt", "restart", "refused", "unreadable"],
)
def test_a_file_that_fails_often_enough_is_set_aside(diagnosis):
    """What speaks of the file counts: the try whose number is quarantine_after is the last one."""
    assert isinstance(decide(diagnosis, 1, POLICY, 0.5), Again)
    assert isinstance(decide(diagnosis, 2, POLICY, 0.5), GiveUp)
    assert isinstance(decide(diagnosis, 10**9, Policy(), 0.5), Again)


@pytest.mark.parametrize(
    "diagnosis",
    [
        *map(fault, (Kind.NETWORK, Kind.THROTTLED)),
        *map(unreadable, ("RootMissing", "LocalResources", "FileSystem", "OSError", "MemoryError", "Source")),
    ],
    ids=lambda diagnosis: diagnosis.code if diagnosis.kind is Kind.LOCAL else diagnosis.kind,
)
def test_trouble_of_the_world_sets_no_file_aside(diagnosis):
    """However many tries silence, load, a missing root or a lack of descriptors cost, the file is tried again."""
    assert isinstance(decide(diagnosis, 10**6, POLICY, 0.5), Again)


def test_a_file_that_can_t_be_read_is_tried_ever_more_seldom():
    """Its pause grows to an hour, since a change of its owner or mode brings it back at once."""
    assert decide(unreadable(), 40, Policy(max=60.0), 0.5) == Again(1800.0) == decide(unreadable(), 40, Policy(), 0.5)
    assert decide(fault(Kind.CORRUPT), 40, Policy(max=60.0), 0.5) == Again(30.0)


def test_a_pause_the_store_asks_for_is_kept():
    """Retry-After lengthens the delay and never shortens it."""
    assert decide(fault(Kind.THROTTLED, retry_after=7.0), 0, POLICY, 0.5) == Again(7.0)
    assert decide(fault(Kind.THROTTLED, retry_after=7.0), 5, Policy(1.0, 60.0), 0.5) == Again(16.0)


@pytest.mark.parametrize(
    ("kind", "operation", "dropped"),
    [
        (Kind.RESTART_UPLOAD, "CompleteMultipartUpload", True),
        (Kind.CORRUPT, "CompleteMultipartUpload", True),
        (Kind.CORRUPT, "UploadPart", False),
        (Kind.UNSUPPORTED, "UploadPart", True),
        (Kind.THROTTLED, "CompleteMultipartUpload", False),
        (Kind.NETWORK, "UploadPart", False),
    ],
)
def test_an_unfinishable_upload_starts_over(kind, operation, dropped):
    """A multipart upload is dropped where it can't be finished, and kept through everything that passes."""
    decision = decide(fault(kind, operation), 0, POLICY, 0.5)
    assert isinstance(decision, Again)
    assert decision.drop_multipart is dropped


def test_whose_fault_it_is():
    """Account and bucket are parked for, load slows everyone, and all else is the file's."""
    assert {kind for kind in Kind if of_the_destination(fault(kind, "HeadObject"))} == {Kind.EXPIRED, Kind.DESTINATION}
    assert {kind for kind in Kind if slows_everyone(fault(kind))} == {Kind.THROTTLED, Kind.NETWORK}


def test_a_store_that_knows_no_checksum_is_at_fault_itself():
    """When the last checksum is refused, the store is parked for, not each file retried; a part proves less."""
    assert of_the_destination(fault(Kind.UNSUPPORTED, "PutObject"))
    assert of_the_destination(fault(Kind.UNSUPPORTED, "CreateMultipartUpload"))
    assert not of_the_destination(fault(Kind.UNSUPPORTED, "UploadPart"))


@pytest.mark.parametrize(
    ("kind", "code", "one"),
    [
        (Kind.DESTINATION, "AccessDenied", True),
        (Kind.DESTINATION, "SomethingNew", True),
        (Kind.DESTINATION, "RequestTimeTooSkewed", False),
        (Kind.DESTINATION, "SignatureDoesNotMatch", False),
        (Kind.EXPIRED, "ExpiredToken", False),
    ],
)
def test_a_clock_or_a_session_is_no_file_s_own_fault(kind, code, one):
    """A refusal while others got through is the file's own only where it can be."""
    assert may_be_one_file_s(Diagnosis(kind, code, "no")) is one
