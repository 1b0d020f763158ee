"""Retries over all values: delays have bounds, and parking follows from the recorded events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.delivery.breaker import Breaker
from crosshaul.delivery.retry import RetryPolicy

JITTER = st.floats(0.0, 1.0, exclude_max=True)
POLICIES = st.builds(RetryPolicy, initial=st.floats(0.01, 60.0), max=st.floats(60.0, 86400.0))


@given(POLICIES, st.integers(0, 10**9), JITTER)
def test_delay_has_bounds(policy, tries, jitter):
    """Every delay lies in [0, min(max, initial * 2^tries)), whatever the number of tries."""
    delay = policy.delay(tries, jitter)
    assert 0.0 <= delay <= policy.max
    assert delay <= policy.initial * 2.0 ** min(tries, 60)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["taken", "refused", "pushed back", "canary", "nothing"]),
        st.integers(1, 4), st.floats(0.0, 500.0), st.none() | st.floats(0.0, 3600.0), JITTER,
    ),
    max_size=60,
)  # fmt: skip


@given(POLICIES, STEPS)
def test_a_tripped_breaker_always_has_a_next_canary_within_bounds(policy, steps):
    """A tripped breaker has a reason and a canary time within retry.max or Retry-After; a success resets it."""
    breaker, now, asked = Breaker(policy), 0.0, 0.0
    for what, file, pause, retry_after, jitter in steps:
        now += pause
        if what == "taken":
            before = breaker.reason
            assert breaker.record_success(file, now) is before
            assert not breaker.tripped
        elif what == "refused":
            breaker.record_refusal(file, now, now, jitter, may_be_file_specific=file % 2 == 0)
        elif what == "pushed back":
            asked = max(asked, now + (retry_after or 0.0))
            breaker.record_pushback(file, now, retry_after, jitter)
        elif what == "canary" and breaker.canaries.is_due(now):
            breaker.canaries.add(file, now)
        else:
            breaker.canaries.record_inconclusive(file, now)
        assert breaker.tripped is (breaker.canaries.retry_at is not None)
        assert breaker.tripped or not any(file in breaker.canaries for file in range(5))
        if breaker.canaries.retry_at is not None:
            assert breaker.canaries.retry_at <= max(now + policy.max, asked)
