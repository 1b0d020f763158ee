"""retry, proven over all figures: delays have bounds, and parking follows from what happened."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.retry import Breaker, Policy, Refused

JITTER = st.floats(0.0, 1.0, exclude_max=True)
POLICIES = st.builds(Policy, initial=st.floats(0.01, 60.0), max=st.floats(60.0, 86400.0))


@given(POLICIES, st.integers(0, 10**9), JITTER)
def test_delay_has_bounds(policy, tries, jitter):
    """Every delay lies in [0, min(max, initial * 2^tries)), whatever the number of tries."""
    delay = policy.delay(tries, jitter)
    assert 0.0 <= delay <= policy.max
    assert delay <= policy.initial * 2.0 ** min(tries, 60)


@given(POLICIES, st.lists(st.tuples(st.booleans(), st.floats(0.0, 500.0), st.floats(0.0, 500.0), JITTER), max_size=30))
def test_the_breaker_is_parked_exactly_after_a_refusal_that_counted(policy, tries):
    """Parked means: a refusal since the last success that no success lay beside; the next canary is in bounds."""
    breaker, now, parked, last_success = Breaker(policy), 0.0, False, -1.0
    for succeeded, lasted, pause, jitter in tries:
        now += pause + lasted
        if succeeded:
            assert breaker.succeeded(now) is parked
            parked, last_success = False, now
        else:
            verdict = breaker.refused(now - lasted, now, jitter)
            if last_success >= now - lasted:
                assert verdict is Refused.THIS_FILE
            else:
                assert verdict in ({Refused.STILL_PARKED, Refused.IN_FLIGHT} if parked else {Refused.PARKED})
                parked = True
        assert breaker.parked is parked
        assert (breaker.retry_at or 0.0) <= now + policy.max
