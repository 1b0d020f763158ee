"""breaker: when a destination is given but a canary, for which of two reasons, and whose fault a refusal is."""

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
    """Nothing got through lately: one refusal is enough, and the canary comes after half to a whole step."""
    parked(breaker)
    assert breaker.reason is TripReason.REFUSED
    assert breaker.retry_at == 100.75


def test_a_file_refused_beside_a_success_of_another_is_at_fault_itself(breaker):
    """Another file got through while this one was being refused; its own part that got through proves nothing."""
    breaker.record_success(2, 99.0)
    assert refuse(breaker, 1, 100.0, started=98.0) is FaultScope.THIS_FILE
    breaker.record_success(1, 101.0)
    assert refuse(breaker, 1, 102.0, started=100.5) is FaultScope.TRIPPED


def test_a_success_long_before_the_refused_request_is_not_beside_it(breaker):
    """A file that has been under way for an hour is not blamed because others got through half an hour ago."""
    breaker.record_success(2, 1_000.0)
    assert refuse(breaker, 1, 2_800.0, started=500.0) is FaultScope.TRIPPED


def test_what_can_not_be_one_file_s_fault_parks_at_once(breaker):
    """A clock or a session is wrong for all: beside a success it blames no file, and after one it parks."""
    breaker.record_success(9, 0.0)
    assert refuse(breaker, 1, 1.0, started=0.0, specific=False) is FaultScope.UNDECIDED
    assert refuse(breaker, 1, 1.0, specific=False) is FaultScope.TRIPPED


def test_a_file_refused_again_after_others_got_through_is_at_fault_itself_for_good(breaker):
    """Refused in a parking that another file ended: from then on it parks nothing, and its earlier tries count."""
    parked(breaker)
    breaker.record_canary(1, 101.0)
    assert refuse(breaker, 1, 101.1) is FaultScope.STILL_TRIPPED
    assert breaker.record_success(2, 102.0) is TripReason.REFUSED
    assert refuse(breaker, 1, 160.0) is FaultScope.THIS_FILE
    assert breaker.refusals.take_uncounted(1) == 2
    assert breaker.refusals.take_uncounted(1) == 0
    assert refuse(breaker, 1, 7_200.0) is FaultScope.THIS_FILE
    assert not breaker.tripped


def test_tries_in_flight_when_it_was_parked_tell_nothing_new(breaker):
    """Only a canary's refusal puts off the next canary."""
    retry_at = parked(breaker).retry_at
    assert refuse(breaker, 2, 100.1, started=99.0) is FaultScope.IN_FLIGHT
    assert push_back(breaker, 3, 100.2) is FaultScope.IN_FLIGHT
    assert breaker.retry_at == retry_at


def test_each_refused_canary_doubles_the_interval_up_to_the_bound():
    """The canaries get rarer, by the retry policy's steps."""
    breaker, now, waits = Breaker(RetryPolicy(initial=10.0, max=60.0)), 0.0, []
    for _ in range(5):
        assert breaker.record_refusal(1, now, now, 0.99999999, may_be_file_specific=True) in {
            FaultScope.TRIPPED,
            FaultScope.STILL_TRIPPED,
        }
        assert breaker.retry_at is not None
        waits.append(round(breaker.retry_at - now))
        now = breaker.retry_at
        assert breaker.canary_due(now)
        breaker.record_canary(1, now)
        assert not breaker.canary_due(now)
    assert waits == [10, 20, 40, 60, 60]


def test_whatever_is_taken_ends_a_parking_and_the_next_begins_again(breaker):
    """A part of a file is enough; the first interval of the next parking is the shortest again."""
    parked(breaker)
    breaker.record_canary(2, 101.0)
    assert breaker.record_success(2, 101.5) is TripReason.REFUSED
    assert breaker.record_success(2, 101.6) is None
    assert breaker.retry_at is None
    assert not breaker.is_canary(2)
    assert refuse(breaker, 3, 900.0) is FaultScope.TRIPPED
    assert breaker.retry_at == 900.75


def test_a_canary_that_says_nothing_gives_way_to_another_soon(breaker):
    """A canary that could not be read, or changed, is followed by the next one in a tenth of a second."""
    parked(breaker)
    breaker.record_canary(2, 101.0)
    breaker.record_inconclusive(3, 101.0)
    assert breaker.is_canary(2)
    breaker.record_inconclusive(2, 101.0)
    assert not breaker.canary_due(101.05)
    assert breaker.canary_due(101.1)


def test_a_canary_of_a_parked_destination_that_meets_an_outage_waits_its_turn(breaker):
    """Refused connections while parked put the next canary off, instead of letting one go after the other."""
    parked(breaker)
    breaker.record_canary(2, 101.0)
    assert push_back(breaker, 2, 101.0) is FaultScope.STILL_TRIPPED
    assert breaker.reason is TripReason.REFUSED
    assert breaker.retry_at == 102.5


def test_a_new_file_is_tried_a_second_after_the_last_canary(breaker):
    """A file that arrives while parked need not wait for the next interval; there is one canary at a time."""
    parked(breaker)
    assert breaker.next_arrival_canary_at() == 101.0
    breaker.record_canary(2, 101.0)
    assert breaker.next_canary_at() is None


def test_a_canary_that_hangs_keeps_no_new_file_waiting_for_its_deadline(breaker):
    """After five seconds a new file goes beside it; four at most are under way."""
    parked(breaker)
    for file in range(4):
        assert breaker.next_arrival_canary_at() == 101.0 + (4.0 + 5.0 * (file - 1) + 1.0 if file else 0.0)
        breaker.record_canary(file, breaker.next_arrival_canary_at())
        assert not breaker.canary_due(10_000.0)
    assert breaker.next_arrival_canary_at() is None


def test_two_requests_that_hang_are_an_outage(breaker):
    """Each has cost a whole deadline, in which nothing else got through."""
    assert breaker.record_pushback(1, 30.0, None, 0.5, hung=True) is FaultScope.THIS_FILE
    assert breaker.record_pushback(2, 60.0, None, 0.5, hung=True) is FaultScope.TRIPPED


def test_good_news_brings_the_canary_forward(breaker):
    """New credentials let the canary go at once, and neither trip nor put off anything."""
    breaker.probe_now(1.0)
    assert not breaker.tripped
    parked(breaker)
    breaker.probe_now(100.1)
    assert breaker.retry_at == 100.1
    breaker.probe_now(109.0)
    assert breaker.retry_at == 100.1


# Nothing gets through


def test_five_push_backs_in_a_row_without_a_success_are_an_outage(breaker):
    """From then on a canary goes, at first within the shortest interval."""
    cut_off(breaker)
    assert breaker.reason is TripReason.UNREACHABLE
    assert breaker.retry_at == 100.5


def test_push_backs_that_come_faster_than_successes_are_no_outage(breaker):
    """Of a first burst the refused requests are answered first: that alone says nothing."""
    assert {push_back(breaker, file, 100.0 + file / 100) for file in range(40)} == {FaultScope.THIS_FILE}


def test_one_file_that_is_pushed_back_is_no_outage(breaker):
    """However often a single file fails, its own pause is all that is wanted."""
    assert {push_back(breaker, 7, float(now)) for now in range(100)} == {FaultScope.THIS_FILE}


def test_a_store_that_takes_some_is_not_out_of_reach(breaker):
    """While something gets through twice a second, thousands of push-backs stay the adaptive limit's affair."""
    for number in range(10_000):
        now = number / 1_000
        if number % 400 == 0:
            breaker.record_success(number, now)
        assert push_back(breaker, number, now) is FaultScope.THIS_FILE


def test_canaries_of_an_outage_come_often_at_first_and_recovery_takes_a_quarter_of_it_at_most(breaker):
    """For the first seconds within a second of each other, later within a quarter of the outage, at last retry.max."""
    cut_off(breaker, 0.0)
    now, times = 0.0, []
    while now < 10_000.0:
        assert breaker.retry_at - now <= max(1.0, now / 4)
        assert breaker.retry_at - now <= 300.0
        now = breaker.retry_at
        times.append(now)
        breaker.record_canary(1, now)
        assert push_back(breaker, 1, now, jitter=0.999) is FaultScope.STILL_TRIPPED
    assert len([at for at in times if at < 60]) < 25
    assert len(times) < 100


def test_the_longest_retry_after_is_kept_by_all(breaker):
    """No canary, not even of a new file, goes before the pause that the store asked for; good news does."""
    for file in range(4):
        push_back(breaker, file, 99.0)
    push_back(breaker, 4, 100.0, 120.0)
    push_back(breaker, 5, 100.1, 7.0)
    assert breaker.retry_at == 220.0
    assert breaker.next_arrival_canary_at() == 220.0
    breaker.probe_now(105.0)
    assert breaker.canary_due(105.0)


def test_an_answer_about_a_file_shows_that_the_store_is_reached(breaker):
    """A key that is too long, said by the store, ends an outage; it does not end a parking."""
    cut_off(breaker)
    breaker.record_canary(2, 101.0)
    assert breaker.record_response(2, 101.0) is TripReason.UNREACHABLE
    parked(breaker, 200.0)
    breaker.record_canary(2, 201.0)
    assert breaker.record_response(2, 201.0) is None
    assert breaker.tripped


def test_an_outage_that_ends_in_a_refusal_is_a_parking(breaker):
    """The store answers again and refuses: that is the other reason."""
    cut_off(breaker)
    breaker.record_canary(2, 101.0)
    assert refuse(breaker, 2, 101.0) is FaultScope.TRIPPED
    assert breaker.reason is TripReason.REFUSED


def test_new_files_bring_canaries_about_ever_more_seldom_in_a_long_outage(breaker):
    """A second apart at first, ten seconds at most."""
    cut_off(breaker, 0.0)
    gaps = []
    for now in (1.0, 60.0, 150.0, 3_600.0):
        breaker.record_canary(1, now)
        push_back(breaker, 1, now)
        gaps.append(breaker.next_arrival_canary_at() - now)
    assert gaps == [1.0, 2.0, 5.0, 10.0]


def test_refused_files_are_remembered_within_bounds(breaker):
    """Of a hundred thousand refused files ten thousand are kept in mind."""
    parked(breaker)
    for file in range(100_000):
        refuse(breaker, file, 101.0)
    assert len(breaker.refusals.files) == 10_000
