"""The reporter: an outage is a few log lines with a begin and an end, and a status for the page."""

from __future__ import annotations

from typing import cast

import pytest

from crosshaul.delivery.reporter import Reporter
from crosshaul.delivery.status_reporter import DestinationJournal
from crosshaul.errors import Diagnosis, FaultKind, StateDirError
from crosshaul.model import Claim, Delivered, DestinationState, DestinationStatus, RetryLater, State
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.metrics import Metrics
from support.journal_samples import DONE, LOST, fingerprint
from support.virtual_time import ManualClock

UNREADABLE = Diagnosis(FaultKind.LOCAL, "EACCES", "it can't be read")


class Log:
    """Records events with their fields."""

    def __init__(self):
        self.said = []

    def bind(self, **_bound):
        return self

    def _say(self, event, **fields):
        self.said.append((event, fields))

    debug = info = warning = error = _say

    def fields(self, event, field):
        return [fields[field] for name, fields in self.said if name == event]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def reporter(log):
    clock = ManualClock()
    status = DestinationStatus("partner", DestinationState.READY)
    return Reporter(
        status,
        cast("DestinationJournal", None),
        clock,
        Metrics(),
        Liveness(clock.monotonic),
        log,
        lambda diagnosis: diagnosis,
    )


def claim(number, attempts=0):
    return Claim(number, 1, "r", "partner", b"f%d" % number, fingerprint(), f"f{number}", attempts)


def fail(reporter, number, diagnosis=LOST, attempts=0):
    reporter.on_finished(claim(number, attempts), RetryLater(0.0, diagnosis), State.PENDING, 0.1)


def succeed(reporter, number=0):
    reporter.on_finished(claim(number), DONE, State.DELIVERED, 0.1)


def test_an_outage_is_logged_at_each_doubling_and_at_its_end(reporter, log):
    """A hundred consecutive failures are seven log lines with the count, then one line when uploads recover."""
    for number in range(100):
        fail(reporter, number)
    succeed(reporter)
    assert log.fields("upload_failed", "consecutive_failures") == [1, 2, 4, 8, 16, 32, 64]
    assert log.fields("uploads_recovered", "failures") == [100]


def test_three_consecutive_failures_set_the_status_to_failing(reporter):
    """After three consecutive failures the status is failing, with the error; the first success ends that."""
    for number in range(2):
        fail(reporter, number)
    assert not reporter.status.failing
    fail(reporter, 2)
    assert (reporter.status.failing, reporter.status.last_error) == (True, LOST)
    succeed(reporter)
    assert (reporter.status.failing, reporter.status.last_error) == (False, None)


def test_failures_with_successes_between_are_no_outage(reporter, log):
    """Failures with successes between set no status; they are logged at each doubling of the file's attempts."""
    for attempts in range(9):
        fail(reporter, 1, attempts=attempts)
        succeed(reporter)
    assert not reporter.status.failing
    assert log.fields("upload_failed", "tries") == [1, 2, 4, 8]
    assert log.fields("uploads_recovered", "failures") == []


def test_unreadable_files_are_no_outage(reporter, log):
    """Local failures don't set the status to failing; each file is logged."""
    for number in range(5):
        fail(reporter, number, UNREADABLE)
    assert not reporter.status.failing
    assert log.fields("upload_failed", "tries") == [1] * 5


def test_many_unreadable_files_are_logged_at_each_doubling(reporter, log):
    """A hundred thousand unreadable files are some twenty log lines; hours later a new count starts."""
    for number in range(100_000):
        fail(reporter, number, UNREADABLE)
    assert log.fields("upload_failed", "consecutive_failures") == [0] * 10 + [2**power for power in range(4, 17)]
    reporter._clock.at += 10_000.0
    fail(reporter, 1, UNREADABLE, attempts=5)
    fail(reporter, 2, UNREADABLE)
    assert log.fields("upload_failed", "tries")[-1] == 1


def test_while_unreachable_the_next_canary_is_logged(reporter, log):
    """The logged retry time is that of the next canary; the status is failing until the store is reachable."""
    assert reporter.unreachable_seconds == 0.0
    reporter.on_unreachable(LOST, 40.0)
    reporter.on_finished(claim(1), RetryLater(0.0, LOST, 0), State.PENDING, 0.1)
    assert (reporter.status.failing, reporter.status.last_error) == (True, LOST)
    assert log.fields("upload_failed", "retry_in_seconds") == [40.0]
    reporter._clock.at += 50.0
    assert reporter.unreachable_seconds == 50.0
    reporter.on_reachable()
    assert (reporter.status.failing, reporter.unreachable_seconds) == (False, 0.0)
    assert log.fields("uploads_recovered", "failures") == [1]


def test_reads_that_hang_are_events(reporter, log):
    """A read that hangs, and its end, are logged with their route."""
    reporter.on_read_hang("r", b"f1", 61.26)
    reporter.on_read_recovered("r", 130.0)
    assert log.fields("read_hangs", "seconds") == [61.3]
    assert log.fields("read_recovered", "route") == ["r"]


def test_a_success_does_not_hide_a_failed_renewal(reporter):
    """A file that is delivered with the old session leaves the renewal's error in the status."""
    reporter.refused("partner", LOST, 60.0)
    succeed(reporter)
    assert reporter.status.last_error == LOST


def test_a_renewal_logs_the_number_of_failures_before_it(reporter, log):
    """The event of a renewal has the number of failed renewals before it."""
    reporter.renewed("partner", 60.0, None)
    for _ in range(3):
        reporter.refused("partner", LOST, 60.0)
    reporter.renewed("partner", 60.0, None)
    assert log.fields("credentials_not_renewed", "failures") == [1, 2]
    assert log.fields("credentials_renewed", "failures") == [0, 3]


def test_a_receipt_of_a_changed_file_ends_an_outage(reporter):
    """A delivery of a file that has changed since shows that the store is reachable."""
    for number in range(3):
        fail(reporter, number)
    reporter.on_finished(claim(9), Delivered(DONE.receipt), State.PENDING, 0.1)
    assert not reporter.status.failing


def test_failures_and_receipts_carry_code_and_request_id(reporter, log):
    """Each failure event has the error code and the request id as fields."""
    refused = Diagnosis(FaultKind.DESTINATION, "AccessDenied", "Denied", "PutObject", 403, "id-1")
    fail(reporter, 1, refused)
    reporter.on_parked(refused, 1.0)
    reporter.on_still_parked(refused, 1.0)
    reporter.refused("partner", refused, 60.0)
    succeed(reporter)
    events = ("upload_failed", "destination_parked", "destination_still_parked", "credentials_not_renewed")
    for event in events:
        assert log.fields(event, "code") == ["AccessDenied"]
        assert log.fields(event, "request_id") == ["id-1"]
        assert "id-1" in log.fields(event, "error")[0]
    assert log.fields("file_delivered", "request_id") == [DONE.receipt.request_id]


async def test_a_status_that_can_not_be_saved_is_saved_later(reporter):
    """A status that the journal could not store is saved by the next flush."""
    saved, full = [], [True]

    class Disk:
        async def save_destination(self, status):
            if full:
                raise StateDirError("the disk is full")
            saved.append(status)

    reporter._journal = Disk()
    reporter.on_parked(UNREADABLE, 1.0)
    with pytest.raises(StateDirError):
        await reporter.flush()
    full.clear()
    await reporter.flush()
    assert [status.state for status in saved] == [DestinationState.PARKED]
