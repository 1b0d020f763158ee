"""FailureStreak: the log of consecutive failures."""

from __future__ import annotations

import pytest

from crosshaul.telemetry.failure_streak import FailureStreak
from support.null_logger import NullLogger


class Log(NullLogger):
    def __init__(self):
        self.said = []

    def info(self, event, **fields):
        self.said.append((event, fields))

    warning = info


def test_it_tells_the_first_then_doublings_then_the_end():
    """Of nine failures four are logged, then their number at the recovery; the next failure counts from one."""
    log, streak = Log(), FailureStreak()
    for outcome in [*[OSError("no")] * 9, None, None, OSError("no")]:
        with streak.log_outage(log, OSError, failed="it_failed", recovered="it_recovered"):
            if outcome:
                raise outcome
    failed = [("it_failed", {"reason": "no", "failures": count}) for count in (1, 2, 4, 8)]
    assert log.said == [*failed, ("it_recovered", {"failures": 9}), failed[0]]


def test_another_error_is_not_swallowed():
    """An error of another type is raised."""
    with pytest.raises(ValueError, match="bug"), FailureStreak().log_outage(Log(), OSError, failed="a", recovered="b"):
        raise ValueError("bug")
