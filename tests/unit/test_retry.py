"""retry: what becomes of a file after each kind of fault, and when a destination is parked."""

from __future__ import annotations

import pytest

from crosshaul.errors import Diagnosis, Kind
from crosshaul.retry import (
    Again,
    Breaker,
    GiveUp,
    Policy,
    Refused,
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


@pytest.mark.parametrize("kind", [Kind.CORRUPT, Kind.LOCAL, Kind.RESTART_UPLOAD, Kind.DESTINATION, Kind.THROTTLED])
def test_a_file_that_fails_often_enough_is_set_aside(kind):
    """The try whose number is quarantine_after is the last one."""
    assert isinstance(decide(fault(kind), 1, POLICY, 0.5), Again)
    assert isinstance(decide(fault(kind), 2, POLICY, 0.5), GiveUp)
    assert isinstance(decide(fault(kind), 10**9, Policy(), 0.5), Again)


def test_no_partition_sets_files_aside():
    """However many tries go without an answer, the file is tried again."""
    assert isinstance(decide(fault(Kind.NETWORK), 10**6, POLICY, 0.5), Again)


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


# The breaker


def test_the_first_refusal_parks():
    """A fault of the destination while nothing succeeds parks it for half to a whole step."""
    breaker = Breaker(Policy(initial=10.0))
    assert not breaker.parked
    assert breaker.refused(started=0.0, now=1.0, jitter=0.0) is Refused.PARKED
    assert breaker.parked
    assert breaker.retry_at == 1.0 + 5.0


def test_a_refusal_beside_a_success_is_the_files_own():
    """A file that is refused while another got through parks nothing."""
    breaker = Breaker(POLICY)
    breaker.succeeded(2.0)
    assert breaker.refused(started=1.0, now=3.0, jitter=0.5) is Refused.THIS_FILE
    assert not breaker.parked
    assert breaker.refused(started=2.5, now=3.0, jitter=0.5) is Refused.PARKED


def test_tries_in_flight_when_it_was_parked_tell_nothing_new():
    """Neither tries begun before the parking, however late they end, nor any that slipped in lengthen it."""
    breaker = Breaker(Policy(initial=10.0))
    breaker.refused(0.0, 1.0, 0.0)
    until = breaker.retry_at
    assert breaker.refused(0.0, 2.0, 0.0) is Refused.IN_FLIGHT
    assert breaker.refused(1.5, 2.0, 0.0) is Refused.IN_FLIGHT
    assert breaker.refused(0.5, 100.0, 0.0) is Refused.IN_FLIGHT
    assert breaker.retry_at == until


def test_each_refused_canary_doubles_the_interval_up_to_the_bound():
    """The canaries get rarer, by the retry policy's steps."""
    breaker, now, waits = Breaker(Policy(initial=10.0, max=60.0)), 0.0, []
    for _ in range(5):
        verdict = breaker.refused(now, now + 1, 0.99999999)
        assert verdict is (Refused.STILL_PARKED if waits else Refused.PARKED)
        assert breaker.retry_at is not None
        waits.append(round(breaker.retry_at - now - 1))
        now = breaker.retry_at
    assert waits == [10, 20, 40, 60, 60]


def test_a_canary_that_gets_through_ends_the_parking():
    """The first success unparks, says so once, and the next parking begins with the shortest interval."""
    breaker = Breaker(Policy(initial=10.0))
    for start in (0.0, 20.0, 60.0):
        breaker.refused(start, start + 1, 0.0)
    assert breaker.succeeded(100.0) is True
    assert breaker.succeeded(101.0) is False
    assert breaker.retry_at is None
    breaker.refused(110.0, 111.0, 0.0)
    assert breaker.retry_at == 111.0 + 5.0


def test_good_news_brings_the_canary_forward():
    """New credentials let the canary go at once, and neither park nor put off anything."""
    breaker = Breaker(Policy(initial=10.0))
    breaker.probe_now(1.0)
    assert not breaker.parked
    breaker.refused(0.0, 1.0, 0.0)
    breaker.probe_now(3.0)
    assert breaker.retry_at == 3.0
    breaker.probe_now(9.0)
    assert breaker.retry_at == 3.0
    assert breaker.parked


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
