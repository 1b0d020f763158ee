"""The deadlines of bodies and of their responses."""

from __future__ import annotations

from crosshaul.aws.http1 import Deadlines
from crosshaul.aws.timeouts import BodyTimeouts

USUAL = Deadlines(progress=30.0, response=60.0)


def seconds(timeouts, request, now=0.0):
    given = timeouts.deadlines(request, now)
    return given.progress, given.response


def test_each_try_of_a_request_waits_twice_as_long_within_bounds():
    """A request's deadline doubles with each attempt up to sixteen minutes; other requests keep the default."""
    timeouts, seen = BodyTimeouts(USUAL), []
    for code in ["ResponseTimeout", "ProgressTimeout"] * 3:
        seen.append(seconds(timeouts, "part 1"))
        timeouts.failed("part 1", code)
    assert seen == [(30, 60), (60, 120), (120, 240), (240, 480), (480, 960), (480, 960)]
    assert seconds(timeouts, "part 2") == (30, 60)
    timeouts.responded("part 1", 0.0, 0.0)
    assert seconds(timeouts, "part 1") == (30, 60)


def test_what_broke_is_no_reason_for_patience():
    """A reset or refused connection does not change the deadlines."""
    timeouts = BodyTimeouts(USUAL)
    timeouts.failed("part 1", "ConnectionReset")
    assert timeouts.deadlines("part 1", 0.0) is USUAL


def test_what_one_late_answer_taught_serves_all_and_fades():
    """After a response of 100 s every request waits twice that, and less as time passes."""
    timeouts = BodyTimeouts(USUAL)
    timeouts.responded("part 1", 100.0, 1_000.0)
    timeouts.responded("small", 0.0, 1_001.0)
    timeouts.responded("quick", 5.0, 1_002.0)
    progress, answer = seconds(timeouts, "part 2", 1_002.0)
    assert progress == 30
    assert 199 < answer <= 200
    assert 99 < seconds(timeouts, "part 2", 2_801.0)[1] < 101
    assert seconds(timeouts, "part 2", 1e6) == (30, 60)


def test_what_is_remembered_is_bounded():
    """Of requests without a response only the last few thousand are remembered."""
    timeouts = BodyTimeouts(USUAL)
    for number in range(10_000):
        timeouts.failed(number, "ResponseTimeout")
    assert len(timeouts._given_up) == 4096
    assert seconds(timeouts, 9_999) == (60, 120)
