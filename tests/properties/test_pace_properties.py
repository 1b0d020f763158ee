"""Limits over all histories: the concurrency stays in its bounds, and the rate holds over any few seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.token_bucket import TokenBucket

RATE = 1_000_000
WINDOW = 3.0


@given(st.integers(1, 4096), st.lists(st.tuples(st.booleans(), st.floats(0.0, 2.0)), max_size=300))
def test_the_limit_stays_between_one_and_the_ceiling(ceiling, events):
    """For any series of responses the limit stays from 1 to the ceiling, and falls at most by half, once per second."""
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
    """Whatever the sizes and pauses, any 3 s carry at most the rate, 5 %, and the piece in progress."""
    bucket, now, sent = TokenBucket(), 0.0, []
    for size, idle, late in pieces:
        now += idle
        while wait := bucket.wait(RATE, now):
            now += wait + late
        bucket.take(size)
        sent.append((now, size))
    for begin, _ in sent:
        inside = [size for at, size in sent if begin <= at < begin + WINDOW]
        assert sum(inside) <= RATE * WINDOW * 1.05 + max(inside)


@given(st.lists(st.integers(1, 256 * 1024), min_size=60, max_size=120))
def test_steady_demand_gets_the_whole_rate(sizes):
    """With steady demand and a clock that wakes late, less than 5 % of the bandwidth is unused."""
    bucket, now = TokenBucket(), 0.0
    for size in sizes:
        while wait := bucket.wait(RATE, now):
            now += wait + 0.001
        bucket.take(size)
    assert sum(sizes[:-1]) >= RATE * now * 0.95 - max(sizes)
