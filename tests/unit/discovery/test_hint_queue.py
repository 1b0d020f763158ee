"""The paths to look at soon."""

from crosshaul.discovery.hint_queue import HintQueue
from crosshaul.discovery.watch import EventKind


def test_the_latest_news_counts_and_a_touch_is_none():
    """A write after a rename is news, new attributes after anything are not."""
    hints = HintQueue()
    for kind in (EventKind.APPEARED, EventKind.CHANGED, EventKind.RENAMED, EventKind.TOUCHED):
        hints.add(b"f", kind)
    assert hints.take() == ({b"f": EventKind.RENAMED}, {b"f"})
    for kind in (EventKind.RENAMED, EventKind.CHANGED):
        hints.add(b"f", kind)
    assert hints.take() == ({b"f": EventKind.CHANGED}, {b"f"})
    assert hints.take() == ({}, set())


def test_what_may_wait_is_bounded_in_number_and_in_bytes():
    """Beyond either bound a new path is refused, and one that waits already is not."""
    hints = HintQueue(most=2, most_bytes=1_000)
    assert [hints.add(b"%d" % number, EventKind.CHANGED) for number in range(3)] == [True, True, False]
    assert hints.add(b"1", EventKind.RENAMED)
    hints.take()
    assert [hints.add(b"%d" % number + b"x" * 600, EventKind.CHANGED) for number in range(2)] == [True, False]
