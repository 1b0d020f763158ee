"""The history: samples of the last hours."""

from __future__ import annotations

from crosshaul.telemetry.history import History


def status(now, sent, pending=0, oldest=0.0):
    return {
        "now": now, "delivered_bytes": sent, "pending": pending, "uploading": 1, "oldest_pending_seconds": oldest,
    }  # fmt: skip


def test_the_rate_is_that_of_the_last_minute():
    """The rate is taken over the last three samples, so that a burst counts in each of them."""
    history = History()
    for now, sent in ((0.0, 0), (20.0, 6000), (40.0, 6000), (60.0, 6000), (80.0, 6000), (100.0, 6000)):
        history.add(status(now, sent))
    assert [each.rate for each in history.samples()] == [0.0, 300.0, 150.0, 100.0, 0.0, 0.0]


def test_what_went_back_gives_no_rate():
    """The rate is 0 for the first sample, and when the clock or the journal's total goes back."""
    history = History()
    for now, sent in ((100.0, 5000), (110.0, 6000), (105.0, 7000), (115.0, 10)):
        history.add(status(now, sent, pending=2, oldest=3.0))
    assert [each.rate for each in history.samples()] == [0.0, 100.0, 0.0, 0.0]
    assert {(each.backlog, each.oldest) for each in history.samples()} == {(3, 3.0)}


def test_parts_of_unfinished_files_count_as_sent():
    """The parts of an unfinished file count as sent, and not again when it is delivered."""
    history = History()
    for now, sent, in_parts in ((0.0, 0, 0), (10.0, 0, 400), (20.0, 0, 800), (30.0, 1000, 0)):
        history.add(status(now, sent), in_parts)
    assert [each.rate for each in history.samples()] == [0.0, 40.0, 40.0, 1000 / 30]


def test_it_is_bounded():
    """Only the newest samples are kept."""
    history = History(max_samples=10)
    for number in range(1000):
        history.add(status(float(number), number))
    assert [each.at for each in history.samples()] == [float(number) for number in range(990, 1000)]
