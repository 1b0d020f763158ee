"""The queue of paths to check."""

from crosshaul.discovery.hint_queue import HintQueue
from crosshaul.discovery.watch import EventKind


def test_the_latest_event_counts_except_a_touch():
    """A write replaces a rename as a path's event; changed attributes replace nothing."""
    hints = HintQueue()
    for kind in (EventKind.APPEARED, EventKind.CHANGED, EventKind.RENAMED, EventKind.TOUCHED):
        hints.add(b"f", kind)
    assert hints.take() == ({b"f": EventKind.RENAMED}, {b"f"})
    for kind in (EventKind.RENAMED, EventKind.CHANGED):
        hints.add(b"f", kind)
    assert hints.take() == ({b"f": EventKind.CHANGED}, {b"f"})
    assert hints.take() == ({}, set())


def test_the_queue_is_bounded_in_number_and_in_bytes():
    """Beyond either limit a new path is refused, and an event of a queued path is not."""
    hints = HintQueue(max_hints=2, max_path_bytes=1_000)
    assert [hints.add(b"%d" % number, EventKind.CHANGED) for number in range(3)] == [True, True, False]
    assert hints.add(b"1", EventKind.RENAMED)
    hints.take()
    assert [hints.add(b"%d" % number + b"x" * 600, EventKind.CHANGED) for number in range(2)] == [True, False]
