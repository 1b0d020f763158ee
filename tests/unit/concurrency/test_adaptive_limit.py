"""The adaptive limit of requests, the window of concurrent bodies, and the schedule of rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import time

import pytest

from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.send_window import SendWindow
from crosshaul.concurrency.token_bucket import RateStep, TokenBucket, rate_at

MIB = 1 << 20
DAY = (RateStep(time(8), 2_000), RateStep(time(19), None))


def test_a_burst_of_failures_is_one_message():
    """Without successes the limit halves once per ``hold``, however many requests are pushed back."""
    limit = AdaptiveLimit(64, hold=1.0)
    for now in (10.0, 10.1, 10.9):
        limit.pushed_back(now)
    assert limit.limit == 32
    limit.pushed_back(11.0)
    assert limit.limit == 16


def test_a_store_that_refuses_some_is_asked_for_a_little_less():
    """With 30 % push-backs the limit falls by 15 % per second; after a calm period the first decrease halves it."""
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
    """As many successes as requests in flight raise the limit by one, up to the ceiling."""
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
        ((RateStep(None, 5),), time(0), 5),
        (DAY, time(7, 59, 59), None),
        (DAY, time(8), 2_000),
        (DAY, time(18, 59), 2_000),
        (DAY, time(19), None),
        ((RateStep(time(8), 2_000), RateStep(time(19), 9)), time(3), 9),
        ((RateStep(None, 7), RateStep(time(19), 9)), time(3), 7),
    ],
)
def test_the_timetable(steps, local, rate):
    """The latest step is in force, before the first step of a day the last one of the day before."""
    assert rate_at(steps, local) == rate


def test_no_limit_waits_for_nothing():
    """Without a rate there is no wait, and an earlier overdraft is forgotten."""
    bucket = TokenBucket()
    assert bucket.wait(1_000, 0.0) == 0.0
    bucket.take(10**9)
    assert bucket.wait(None, 1.0) == 0.0
    bucket.take(10**9)
    assert bucket.wait(None, 1.0) == 0.0
    assert bucket.wait(1_000, 1.0) == 0.0


def test_what_is_owed_is_bytes():
    """A raised rate shortens the wait for an overdraft; bytes that are given back end it."""
    bucket = TokenBucket()
    bucket.wait(1_000, 0.0)
    bucket.take(100_050)
    assert bucket.wait(1_000, 0.0) == pytest.approx(100, abs=0.1)
    assert bucket.wait(1_000_000, 0.0) == pytest.approx(0.1, abs=0.01)
    bucket.take(-100_050)
    assert bucket.wait(1_000, 0.0) == 0.0


def test_idleness_is_not_saved_up():
    """After an hour of idleness at most the rate and a twentieth of a second's bytes are sent."""
    bucket = TokenBucket()
    bucket.wait(1_000, 0.0)
    sent = now = 0.0
    while now < 10.0:
        now += bucket.wait(1_000, 3600.0 + now)
        bucket.take(100)
        sent += 100
    assert 10_000 <= sent <= 10_200


@dataclass
class _Body:
    left: float
    began: float
    beside: int


class Carrier:
    """A connection on which concurrent bodies share ``total`` bytes per second, each with at most ``each``."""

    def __init__(self, total: float, each: float = math.inf) -> None:
        self.window = SendWindow(16 * MIB)
        self.total = total
        self.each = each
        self.now = 0.0
        self.carried = 0
        self.most = self.least = 0

    def send(self, size: int, bodies: int) -> None:
        """Send this many bodies, as many at once as are admitted."""
        waiting = bodies
        flying: list[_Body] = []
        while waiting or flying:
            while waiting and (not flying or self.window.admits(size, len(flying), len(flying) * size, None)):
                waiting -= 1
                flying.append(_Body(size, self.now, len(flying) + 1))
            self.most = max(self.most, len(flying))
            rate = min(self.each, self.total / len(flying))
            step = min(body.left for body in flying) / rate
            self.now += step
            for body in flying:
                body.left -= step * rate
            for body in [body for body in flying if body.left < 1]:
                beside = max(body.beside, len(flying))
                flying.remove(body)
                self.carried += size
                self.window.finished(size, body.began, self.now, beside)


def test_a_slow_line_carries_few_bodies_at_once():
    """At 512 kbit/s two parts of 8 MiB are sent at once, and a third one only as a trial."""
    line = Carrier(64_000)
    line.send(8 * MIB, 60)
    assert line.most == 3
    assert line.now == pytest.approx(line.carried / line.total, rel=0.01)


def test_a_fast_line_carries_all_at_once():
    """At 1 Gbit/s sixty parts are soon sent at once with little loss of time, and so are small files."""
    line = Carrier(125e6, each=20e6)
    line.send(8 * MIB, 200)
    assert line.most >= 60
    assert line.now < 1.1 * line.carried / line.total + 1


def test_a_line_on_which_each_connection_is_slow_gets_more_of_them():
    """If each connection is limited to 60 kB/s, more bodies are sent at once while the throughput rises."""
    line = Carrier(10e6, each=60_000)
    line.send(8 * MIB, 100)
    assert line.most == 8
    before = line.carried / line.now
    line.send(8 * MIB, 100)
    assert line.carried / line.now > before > 240_000


def test_a_line_that_slows_down_and_recovers():
    """If the bandwidth falls to a thousandth few bodies are sent at once, and many again after it recovers."""
    line = Carrier(100e6)
    line.send(8 * MIB, 100)
    line.total = 64_000
    line.send(8 * MIB, 40)
    line.most = 0
    line.send(8 * MIB, 20)
    assert line.most <= 4
    line.total = 100e6
    line.send(8 * MIB, 100)
    assert line.most > 20


def test_a_body_that_breaks_off_makes_room():
    """A failed body halves the bytes that are sent at once; two bodies are always allowed."""
    window = SendWindow(16 * MIB)
    window.finished(8 * MIB, 0.0, 1.0, 1)
    assert window.admits(8 * MIB, 40, 320 * MIB, None)
    for _ in range(20):
        window.failed()
    assert window.admits(8 * MIB, 1, 8 * MIB, None)
    assert not window.admits(8 * MIB, 2, 16 * MIB, None)


def test_under_a_limit_few_bodies_share_it():
    """Under a bandwidth limit ten seconds' bytes are sent at once; two bodies are always allowed."""
    window = SendWindow(16 * MIB)
    assert window.admits(60_000, 1, 60_000, 16_384)
    assert not window.admits(60_000, 2, 120_000, 16_384)
    assert window.admits(1_000, 100, 100_000, 16_384)
