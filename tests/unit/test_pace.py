"""pace: the limit on requests in flight, and the timetable of rates."""

from __future__ import annotations

from datetime import time

import pytest

from crosshaul.pace import AdaptiveLimit, Bandwidth, Step, rate_at

DAY = (Step(time(8), 2_000), Step(time(19), None))


def test_a_burst_of_failures_is_one_message():
    """The limit halves once per hold, however many requests are pushed back in it, if none is answered well."""
    limit = AdaptiveLimit(64, hold=1.0)
    for now in (10.0, 10.1, 10.9):
        limit.pushed_back(now)
    assert limit.limit == 32
    limit.pushed_back(11.0)
    assert limit.limit == 16


def test_a_store_that_refuses_some_is_asked_for_a_little_less():
    """While 30 of 100 answers are push-backs, a second takes 15 % off; after a calm the first halves again."""
    limit = AdaptiveLimit(1000, hold=1.0)
    limit.pushed_back(10.0)
    assert limit.limit == 500
    for _ in range(70):
        limit.succeeded()
    for _ in range(30):
        limit.pushed_back(10.5)
    grown = limit.limit
    limit.pushed_back(11.0)
    assert limit.limit == int(grown * (1 - 31 / 101 / 2))
    limit.pushed_back(60.0)
    assert limit.limit <= grown * 0.85 / 2 + 1


def test_one_request_is_always_allowed():
    """However often the store pushes back, one request may be in flight."""
    limit = AdaptiveLimit(2, hold=0.0)
    for now in range(100):
        limit.pushed_back(float(now))
    assert limit.limit == 1


def test_it_grows_by_one_for_as_many_successes_as_are_in_flight():
    """Additive increase: a round of good answers is worth one request more, up to the ceiling."""
    limit = AdaptiveLimit(64)
    limit.pushed_back(0.0)
    for _ in range(34):
        limit.succeeded()
    assert limit.limit == 33
    for _ in range(10_000):
        limit.succeeded()
    assert limit.limit == 64


@pytest.mark.parametrize(
    ("steps", "local", "rate"),
    [
        ((), time(12), None),
        ((Step(None, 5),), time(0), 5),
        (DAY, time(7, 59, 59), None),
        (DAY, time(8), 2_000),
        (DAY, time(18, 59), 2_000),
        (DAY, time(19), None),
        ((Step(time(8), 2_000), Step(time(19), 9)), time(3), 9),
        ((Step(None, 7), Step(time(19), 9)), time(3), 7),
    ],
)
def test_the_timetable(steps, local, rate):
    """The step begun last is in force, and before the first of a day the last of the day before."""
    assert rate_at(steps, local) == rate


def test_no_limit_waits_for_nothing():
    """Without a rate nothing waits, and what was reserved before is forgotten."""
    bandwidth = Bandwidth()
    bandwidth.reserve(10**9, 1_000, 0.0)
    assert bandwidth.reserve(10**9, None, 1.0) == 0.0
    assert bandwidth.reserve(10**9, 1_000, 1.0) == 0.0


def test_idleness_is_not_saved_up():
    """After an hour of silence the line carries no more than its rate and a twentieth of a second."""
    bandwidth = Bandwidth()
    bandwidth.reserve(1, 1_000, 0.0)
    sent = now = 0.0
    while now < 10.0:
        now += bandwidth.reserve(100, 1_000, 3600.0 + now)
        sent += 100
    assert 10_000 <= sent <= 10_200
