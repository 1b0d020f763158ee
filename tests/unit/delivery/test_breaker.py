"""The breaker: when only canaries are sent, for which reason, and what a refusal is attributed to."""

from __future__ import annotations

import pytest

from crosshaul.delivery.breaker import Breaker, FaultScope, TripReason
from crosshaul.delivery.retry import RetryPolicy

POLICY = RetryPolicy(initial=1.0, max=300.0)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(POLICY)


def refuse(
    breaker: Breaker, file: int, now: float, *, started: float | None = None, specific: bool = True
) -> FaultScope:
    return breaker.record_refusal(file, now if started is None else started, now, 0.5, may_be_file_specific=specific)


def push_back(
    breaker: Breaker, file: int, now: float, retry_after: float | None = None, jitter: float = 0.5
) -> FaultScope:
    return breaker.record_pushback(file, now, retry_after, jitter)


def parked(breaker: Breaker, now: float = 100.0) -> Breaker:
    assert refuse(breaker, 1, now) is FaultScope.TRIPPED
    return breaker


def cut_off(breaker: Breaker, now: float = 100.0) -> Breaker:
    verdicts = [push_back(breaker, file, now if file else now - 0.5) for file in range(5)]
    assert verdicts == [*[FaultScope.THIS_FILE] * 4, FaultScope.TRIPPED]
    return breaker


# Refused


def test_the_first_refusal_parks_a_destination_that_is_not_known_to_take_anything(breaker):
    """Without a recent success one refusal parks, and the canary comes after half to a whole step."""
    parked(breaker)
    assert breaker.reason is TripReason.REFUSED
    assert breaker.canaries.retry_at == 100.75


def test_a_file_refused_beside_a_success_of_another_is_at_fault_itself(breaker):
    """A refusal with a concurrent success of another file is the file's own; a success of its own parts is no proof."""
    breaker.record_success(2, 99.0)
    assert refuse(breaker, 1, 100.0, started=98.0) is FaultScope.THIS_FILE
    breaker.record_success(1, 101.0)
    assert refuse(breaker, 1, 102.0, started=100.5) is FaultScope.TRIPPED


def test_a_success_long_before_the_refused_request_is_not_beside_it(breaker):
    """A success half an hour before the refused request is not concurrent with it."""
    breaker.record_success(2, 1_000.0)
    assert refuse(breaker, 1, 2_800.0, started=500.0) is FaultScope.TRIPPED


def test_what_can_not_be_one_file_s_fault_parks_at_once(breaker):
    """A wrong clock or session is no file's fault: during a success it counts nothing, after one it parks."""
    breaker.record_success(9, 0.0)
    assert refuse(breaker, 1, 1.0, started=0.0, specific=False) is FaultScope.UNDECIDED
    assert refuse(breaker, 1, 1.0, specific=False) is FaultScope.TRIPPED


def test_a_file_refused_again_after_others_got_through_is_at_fault_itself_for_good(breaker):
    """A file that is refused again after other files succeeded never parks again, and its earlier attempts count."""
    parked(breaker)
    breaker.canaries.add(1, 101.0)
    assert refuse(breaker, 1, 101.1) is FaultScope.STILL_TRIPPED
    assert breaker.record_success(2, 102.0) is TripReason.REFUSED
    assert refuse(breaker, 1, 160.0) is FaultScope.THIS_FILE
    assert breaker.refusals.take_uncounted(1) == 2
    assert breaker.refusals.take_uncounted(1) == 0
    assert refuse(breaker, 1, 7_200.0) is FaultScope.THIS_FILE
    assert not breaker.tripped


def test_tries_in_flight_when_it_was_parked_tell_nothing_new(breaker):
    """Only a canary's refusal delays the next canary."""
    retry_at = parked(breaker).canaries.retry_at
    assert refuse(breaker, 2, 100.1, started=99.0) is FaultScope.IN_FLIGHT
    assert push_back(breaker, 3, 100.2) is FaultScope.IN_FLIGHT
    assert breaker.canaries.retry_at == retry_at


def test_whatever_is_taken_ends_a_parking_and_the_next_begins_again(breaker):
    """An accepted part ends a parking, and the next parking begins with the shortest interval."""
    parked(breaker)
    breaker.canaries.add(2, 101.0)
    assert breaker.record_success(2, 101.5) is TripReason.REFUSED
    assert breaker.record_success(2, 101.6) is None
    assert breaker.canaries.retry_at is None
    assert 2 not in breaker.canaries
    assert refuse(breaker, 3, 900.0) is FaultScope.TRIPPED
    assert breaker.canaries.retry_at == 900.75


def test_a_canary_of_a_parked_destination_that_meets_an_outage_waits_its_turn(breaker):
    """Connection errors while parked delay the next canary."""
    parked(breaker)
    breaker.canaries.add(2, 101.0)
    assert push_back(breaker, 2, 101.0) is FaultScope.STILL_TRIPPED
    assert breaker.reason is TripReason.REFUSED
    assert breaker.canaries.retry_at == 102.5


def test_two_requests_that_hang_are_an_outage(breaker):
    """Two requests that hang are an outage, because each took a whole deadline."""
    assert breaker.record_pushback(1, 30.0, None, 0.5, hung=True) is FaultScope.THIS_FILE
    assert breaker.record_pushback(2, 60.0, None, 0.5, hung=True) is FaultScope.TRIPPED


# Nothing gets through


def test_five_push_backs_in_a_row_without_a_success_are_an_outage(breaker):
    """After five consecutive push-backs only canaries are sent, the first within the shortest interval."""
    cut_off(breaker)
    assert breaker.reason is TripReason.UNREACHABLE
    assert breaker.canaries.retry_at == 100.5


def test_push_backs_that_come_faster_than_successes_are_no_outage(breaker):
    """The first burst's push-backs, which come before its successes, are no outage."""
    assert {push_back(breaker, file, 100.0 + file / 100) for file in range(40)} == {FaultScope.THIS_FILE}


def test_one_file_that_is_pushed_back_is_no_outage(breaker):
    """Push-backs of a single file are no outage, however many."""
    assert {push_back(breaker, 7, float(now)) for now in range(100)} == {FaultScope.THIS_FILE}


def test_a_store_that_takes_some_is_not_out_of_reach(breaker):
    """While two requests a second succeed, thousands of push-backs are no outage."""
    for number in range(10_000):
        now = number / 1_000
        if number % 400 == 0:
            breaker.record_success(number, now)
        assert push_back(breaker, number, now) is FaultScope.THIS_FILE


def test_the_longest_retry_after_is_kept_by_all(breaker):
    """No canary is sent before the longest Retry-After is over, unless there are new credentials."""
    for file in range(4):
        push_back(breaker, file, 99.0)
    push_back(breaker, 4, 100.0, 120.0)
    push_back(breaker, 5, 100.1, 7.0)
    assert breaker.canaries.retry_at == 220.0
    assert breaker.canaries.next_arrival_at() == 220.0
    breaker.canaries.send_now(105.0)
    assert breaker.canaries.is_due(105.0)


def test_an_answer_about_a_file_shows_that_the_store_is_reached(breaker):
    """The store's error about one file ends an outage, but not a parking."""
    cut_off(breaker)
    breaker.canaries.add(2, 101.0)
    assert breaker.record_response(2, 101.0) is TripReason.UNREACHABLE
    parked(breaker, 200.0)
    breaker.canaries.add(2, 201.0)
    assert breaker.record_response(2, 201.0) is None
    assert breaker.tripped


def test_an_outage_that_ends_in_a_refusal_is_a_parking(breaker):
    """If an outage ends with a refusal, the trip reason becomes parked."""
    cut_off(breaker)
    breaker.canaries.add(2, 101.0)
    assert refuse(breaker, 2, 101.0) is FaultScope.TRIPPED
    assert breaker.reason is TripReason.REFUSED


def test_refused_files_are_remembered_within_bounds(breaker):
    """Of a hundred thousand refused files ten thousand are remembered."""
    parked(breaker)
    for file in range(100_000):
        refuse(breaker, file, 101.0)
    assert len(breaker.refusals.files) == 10_000
