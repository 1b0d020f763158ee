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


def test_a_later_event_outdates_the_one_that_was_taken():
    """A write after a rename outdates the rename; changed attributes, or an event of another path, do not."""
    hints = HintQueue()
    for path, kind in ((b"f", EventKind.TOUCHED), (b"g", EventKind.CHANGED)):
        hints.add(path, kind)
    assert not hints.outdates(b"f", EventKind.RENAMED)
    hints.add(b"f", EventKind.CHANGED)
    assert hints.outdates(b"f", EventKind.RENAMED)
    assert hints.outdates(b"f", EventKind.CLOSED)
    hints.take()
    assert not hints.outdates(b"f", EventKind.RENAMED)


def test_lost_events_leave_the_paths_and_what_appeared():
    """After a loss no event of the queue counts as a path's latest, and a new directory is still new."""
    hints = HintQueue()
    hints.add(b"d", EventKind.APPEARED)
    hints.add(b"f", EventKind.CLOSED)
    hints.on_events_lost()
    assert hints.take() == ({b"d": EventKind.TOUCHED, b"f": EventKind.TOUCHED}, {b"d"})


def test_the_queue_is_bounded_in_number_and_in_bytes():
    """Beyond either limit a new path is refused, and an event of a queued path is accepted."""
    hints = HintQueue(max_hints=2, max_path_bytes=1_000)
    assert [hints.add(b"%d" % number, EventKind.CHANGED) for number in range(3)] == [True, True, False]
    assert hints.add(b"1", EventKind.RENAMED)
    hints.take()
    assert [hints.add(b"%d" % number + b"x" * 600, EventKind.CHANGED) for number in range(2)] == [True, False]
