"""pace, proven over all histories: the limit stays in its bounds, and the rate holds over any few seconds."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.pace import AdaptiveLimit, Bandwidth

RATE = 1_000_000
WINDOW = 3.0


@given(st.integers(1, 4096), st.lists(st.tuples(st.booleans(), st.floats(0.0, 2.0)), max_size=300))
def test_the_limit_stays_between_one_and_the_ceiling(ceiling, events):
    """No series of answers brings the limit below 1 or above the ceiling, nor down more than by half a second."""
    limit, now, halved_at = AdaptiveLimit(ceiling), 0.0, -1.0
    for good, later in events:
        before, now = limit.limit, now + later
        if good:
            limit.succeeded()
            assert before <= limit.limit <= before + 1
        else:
            limit.pushed_back(now)
            assert limit.limit >= before // 2
            if limit.limit < before:
                assert now - halved_at >= 1.0
                halved_at = now
        assert 1 <= limit.limit <= ceiling


@given(
    st.lists(st.tuples(st.integers(1, 256 * 1024), st.floats(0.0, 0.3), st.floats(0.0, 0.002)), min_size=1, max_size=80)
)
def test_no_window_carries_more_than_the_rate(pieces):
    """Whatever the sizes and pauses, any 3 s carry at most the rate, 5 %, and the piece under way."""
    bandwidth, now, sent = Bandwidth(), 0.0, []
    for size, idle, late in pieces:
        now += idle
        now += (wait := bandwidth.reserve(size, RATE, now)) + (late if wait else 0.0)
        sent.append((now, size))
    for begin, _ in sent:
        inside = [size for at, size in sent if begin <= at < begin + WINDOW]
        assert sum(inside) <= RATE * WINDOW * 1.05 + max(inside)


@given(st.lists(st.integers(1, 256 * 1024), min_size=60, max_size=120), st.integers(1, 32))
def test_steady_demand_gets_the_whole_rate(sizes, senders):
    """With always something to send and a clock that wakes late, less than 5 % of the line is left unused."""
    bandwidth, ready = Bandwidth(), [0.0] * senders
    for index, size in enumerate(sizes):
        at = ready[index % senders]
        wait = bandwidth.reserve(size, RATE, at)
        ready[index % senders] = at + wait + (0.001 if wait else 0.0)
    assert sum(sizes[:-senders] or sizes[:1]) >= RATE * (max(ready) - 0.001) * 0.95 - max(sizes) * senders


@given(st.lists(st.integers(1, 256 * 1024), min_size=2, max_size=50))
def test_turns_are_first_come_first_served(sizes):
    """Reservations made at one moment begin one after the other, each when the one before is through."""
    bandwidth = Bandwidth()
    waits = [bandwidth.reserve(size, RATE, 100.0) for size in sizes]
    for (one, size), (other, _) in pairwise(zip(waits, sizes, strict=True)):
        assert other - one <= size / RATE + 1e-6
    assert waits[-1] >= sum(sizes[:-1]) / RATE - 0.05 - 1e-6
