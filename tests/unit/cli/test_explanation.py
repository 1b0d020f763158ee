"""The explanation of a file in each of its states."""

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crosshaul.cli.explanation import explain
from crosshaul.cli.file_view import FileView
from crosshaul.config import AfterUploadConfig, Route, SettleConfig
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import (
    AfterAction,
    Checksum,
    ChecksumKind,
    DestinationState,
    DestinationStatus,
    Fingerprint,
    Multipart,
    Part,
    Receipt,
    Record,
    RouteStatus,
    SettleReason,
    State,
)

NOW = time.mktime((2026, 11, 23, 14, 3, 0, 0, 0, -1))
SLOW = Diagnosis(FaultKind.THROTTLED, "SlowDown", "Please reduce your request rate", "PutObject", 503)
DENIED = Diagnosis(FaultKind.DESTINATION, "AccessDenied", "Access Denied", "PutObject", 403, advice="Ask B's admin.")
ROUTE = Route(name="exports", path=Path("/srv/exports"), destination="partner", settle=SettleConfig(quiet=2.0))
URL = "s3://bucket/a.csv"
FILE = "/srv/exports/a.csv"
VALUE = "AAAAAAAAAAA="
CRC = Checksum(ChecksumKind.CRC64NVME, VALUE)
RECEIPT = Receipt('"etag"', 12345, NOW - 60, CRC, "v1", "REQ7")
SETTLING = "It is settling: it changed 1 s ago and must stay unchanged for 2 s (settle.quiet)."
NO_DAEMON = "No daemon is running: start it (`crosshaul run`), or deliver once (`crosshaul push`)."


def stat_of(age=3600.0, mode=stat.S_IFREG | 0o644, size=12345):
    then = int(NOW - age)
    whole = [mode, 7, 1, 1, 0, 0, size, then, then, then]
    nanoseconds = int((NOW - age) * 1e9)
    return os.stat_result(
        whole, {"st_mtime": NOW - age, "st_ctime": NOW - age, "st_mtime_ns": nanoseconds, "st_ctime_ns": nanoseconds}
    )


def record(state, **more):
    fields = {"attempts": 0, "changed_at": NOW - 5, "due_at": NOW - 5, "first_seen_at": NOW - 100, "generation": 1}
    print_ = Fingerprint.of(stat_of())
    return Record(
        id=1,
        route="exports",
        destination="partner",
        path=b"a.csv",
        fingerprint=print_,
        key="a.csv",
        state=state,
        **(fields | more),
    )


def view(record_=None, **more):
    fields = {
        "path": "/srv/exports/a.csv", "url": URL if record_ else "", "new_url": "", "route": ROUTE, "record": record_,
        "destination": DestinationStatus("partner", DestinationState.READY),
        "watcher": RouteStatus("exports", "watching"),
        "daemon_running": True, "stat": stat_of(), "left_out": False, "paused": False, "now": NOW,
    }  # fmt: skip
    return FileView(**(fields | more))


def output(record_=None, **more):
    return explain(view(record_, **more))


def delivered(**more):
    return record(State.DELIVERED, receipt=RECEIPT._replace(**more))


def test_a_delivered_file_is_reported_with_its_proof():
    """The text has time, object, size, proof and request id, and nothing about daemons or destinations."""
    parked = DestinationStatus("partner", DestinationState.PARKED, last_error=DENIED)
    assert output(delivered(), daemon_running=False, destination=parked) == [
        f"{FILE} was delivered at 14:02:00 as {URL}: 12,345 bytes, proven by S3's CRC64NVME checksum ({VALUE}).",
        'S3\'s receipt: ETag "etag", version v1, request id REQ7.',
    ]


def test_a_file_that_never_stood_still_is_reported_as_such():
    """The text says that a file queued at max_wait may have been unfinished."""
    ceiling = replace(delivered(), settled_by=SettleReason.CEILING)
    assert "did not settle within max_wait (10 min)" in output(ceiling)[-1]
    assert not any("max_wait" in line for line in output(replace(delivered(), settled_by=SettleReason.QUIET)))


@pytest.mark.parametrize(
    ("receipt", "proof"),
    [
        ({"checksum": None}, "12,345 bytes, confirmed by S3."),
        ({"checksum": Checksum(ChecksumKind.MD5, "x")}, "checked by S3 against its MD5 on arrival."),
        ({"proven_by": "head"}, "(AAAAAAAAAAA=); the response was lost, and a HEAD request found the object."),
    ],
)
def test_each_kind_of_proof_has_its_words(receipt, proof):
    """Each kind of proof has its own text."""
    assert output(delivered(**receipt))[0].endswith(proof)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"after_due_at": NOW + 60}, "The local file will be deleted at 14:04:00 (in 1 min)."),
        ({"after_action": AfterAction.DONE}, "The local file was then deleted."),
        ({"after_action": AfterAction.CHANGED}, "The local file was not deleted, because it had changed."),
        (
            {"after_action": AfterAction.FAILED, "diagnosis": DENIED},
            f"The local file could not be deleted: {DENIED.line()}",
        ),
    ],
)
def test_what_becomes_of_the_source_is_reported(more, line):
    """The text says what happened to a delivered file's source, or will."""
    route = ROUTE.model_copy(update={"after_upload": AfterUploadConfig(action="delete")})
    assert output(replace(delivered(), **more), route=route)[-1] == line


def test_a_delivered_file_that_is_gone_or_changed_is_reported():
    """A later deletion leaves the object; a later change is sent, with the reasons for its delay."""
    assert output(delivered(), stat=None)[-1] == "The local file no longer exists; the object stays."
    assert output(delivered(), stat=stat_of(age=1.0), daemon_running=False)[-2:] == [
        f"The file has changed since, and will be sent again. {SETTLING}",
        NO_DAEMON,
    ]


def test_a_pending_file_waits_for_its_turn():
    """The text for a file without an attempt says for how long it has been pending."""
    assert output(record(State.PENDING)) == [
        f"/srv/exports/a.csv is pending: it goes to {URL} when a worker is free (pending for 5 s)."
    ]


def test_a_retried_file_tells_when_and_why():
    """The text has the time and number of the next attempt, and the last error."""
    again = record(State.PENDING, attempts=2, due_at=NOW + 12, diagnosis=SLOW)
    assert output(again) == [
        f"/srv/exports/a.csv is pending: the 3rd try, to {URL}, is at 14:03:12 (in 12 s).",
        f"Last error: {SLOW.line()}",
    ]
    assert f"the 3rd try, to {URL}, is as soon as a worker is free." in output(replace(again, due_at=NOW - 1))[0]
    uncounted = output(replace(again, due_at=NOW - 1, attempts=0))[0]
    assert uncounted.endswith("is as soon as a worker is free. Failures of the destination are not counted.")


def test_a_half_sent_and_a_doubtful_file_are_reported():
    """The text says that sent parts are kept, and that an ambiguous attempt is checked first."""
    parts = tuple(Part(number, 5000, "e", CRC) for number in (1, 2))
    half = record(State.PENDING, multipart=Multipart("u", "a.csv", 5000, ChecksumKind.CRC64NVME, parts), ambiguous=True)
    assert output(half)[1:] == [
        "2 of its 3 parts (9.8 KiB of 12.1 KiB) are in the bucket already; only the others are still to be sent.",
        "An earlier try may have succeeded although its response was lost: S3 is asked before the next one.",
    ]


def test_a_file_being_sent_depends_on_the_daemon():
    """With a daemon the file is being uploaded; without one the next start continues the upload."""
    assert "is being uploaded to s3://bucket/a.csv for 5 s (since 14:02:55)." in output(record(State.UPLOADING))[0]
    down = output(record(State.UPLOADING), daemon_running=False)
    assert "was being uploaded to s3://bucket/a.csv at 14:02:55 when the daemon ended" in down[0]
    assert down[-1] == NO_DAEMON


def test_a_quarantined_file_tells_the_remedy():
    """The text has the reason with its advice, and how to queue the file again."""
    aside = record(State.QUARANTINED, attempts=1, diagnosis=DENIED)
    first, remedy = output(aside)
    assert first == f"/srv/exports/a.csv was quarantined at 14:02:55 after the 1st try: {DENIED.line()}"
    assert "`crosshaul retry /srv/exports/a.csv`" in remedy
    assert "`crosshaul retry '/srv/exports/a b.csv'`" in output(aside, path="/srv/exports/a b.csv")[1]
    assert "It has changed since, and will be queued again." in output(aside, stat=stat_of(age=1.0))[1]
    assert output(aside, stat=None)[1] == "The local file no longer exists."
    untried = output(record(State.QUARANTINED, attempts=0, diagnosis=DENIED))[0]
    assert untried == f"/srv/exports/a.csv was quarantined at 14:02:55, before any try: {DENIED.line()}"


def test_a_settling_and_a_gone_file_are_reported():
    """A file that changed during its upload has to settle; one that disappeared may exist again."""
    assert (
        "has to settle again. It is settling: it changed 1 s ago" in output(record(State.CHANGED), stat=stat_of(1.0))[0]
    )
    gone = record(State.GONE)
    assert output(gone, stat=None) == ["/srv/exports/a.csv disappeared before it could be sent (noticed at 14:02:55)."]
    assert output(gone)[1].startswith("It exists again. It has been unchanged for 1 h")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stat": None}, "does not exist, and the journal has no record of it (route exports)."),
        ({"stat": stat_of(mode=stat.S_IFDIR)}, "is a directory. Name one of its files"),
        ({"stat": stat_of(mode=stat.S_IFLNK)}, "is a symbolic link, and route exports skips these (symlinks: skip)."),
        ({"stat": stat_of(mode=stat.S_IFIFO)}, "is not a regular file"),
        ({"left_out": True}, "is left out by the patterns of route exports (include: **; exclude: none)."),
    ],
)
def test_what_never_goes_is_reported_in_one_line(more, words):
    """Missing files, directories, links, pipes and excluded files each give one line without daemon or destination."""
    (line,) = output(**(more | {"daemon_running": False}))
    assert words in line


def test_an_unseen_file_waits_or_is_about_to_be_seen():
    """A file that is not in the journal is settling, has settled, or waits for its marker."""
    prefix = "/srv/exports/a.csv is not in the journal yet. "
    assert output(stat=stat_of(1.0)) == [
        prefix + "It is settling: it changed 1 s ago and must stay unchanged for 2 s (settle.quiet)."
    ]
    assert output() == [prefix + "It has been unchanged for 1 h, and the next scan queues it."]
    scanned = RouteStatus("exports", "watching", last_scan_at=NOW - 60)
    assert output(watcher=scanned)[0].endswith("queues it, at 14:07:00 (in 4 min) at the latest.")
    by_content = ROUTE.model_copy(update={"key": "{sha256}"})
    assert output(route=by_content)[0].endswith("queues it, unless it is being read for its key ({sha256}).")
    marked = ROUTE.model_copy(update={"settle": SettleConfig(marker="{path}.done")})
    assert output(route=marked) == [
        prefix + "It waits for its marker (settle.marker: {path}.done), which must not be older than the file."
    ]
    assert output(daemon_running=False)[-1] == NO_DAEMON


def test_a_paused_route_is_the_reason():
    """A paused route is named with the command that resumes it."""
    line = "Route exports is paused. To send its files: `crosshaul resume --route exports`."
    assert line in output(record(State.PENDING), paused=True)
    assert line not in output(delivered(), paused=True)


def test_what_became_of_a_waiting_file_is_reported():
    """The text says that a pending file has changed or disappeared since it was queued."""
    waiting = record(State.PENDING, attempts=1, diagnosis=SLOW)
    assert any("It has changed since" in line for line in output(waiting, stat=stat_of(1.0)))
    assert any("The local file no longer exists" in line for line in output(waiting, stat=None))
    unmounted = RouteStatus("exports", "root missing")
    assert not any("no longer exists" in line for line in output(waiting, stat=None, watcher=unmounted))


def test_a_parked_destination_is_the_reason():
    """A parked destination is named with its error and its next try."""
    parked = DestinationStatus("partner", DestinationState.PARKED, retry_at=NOW + 30, last_error=DENIED)
    assert output(record(State.PENDING), destination=parked)[-1] == (
        f"Destination partner is parked: {DENIED.line()} One file is tried at 14:03:30 (in 30 s)."
    )


def test_an_expired_session_is_the_reason():
    """An expired session is named only while the daemon runs."""
    ended = DestinationStatus("partner", DestinationState.READY, credentials_expire_at=NOW - 60)
    line = "The session for partner expired at 14:02:00 and could not be renewed."
    assert line in output(record(State.PENDING), destination=ended)
    assert line not in output(record(State.PENDING), destination=ended, daemon_running=False)


def test_a_deaf_watcher_is_the_reason():
    """A route with a missing directory, or without events, is named with its last scan."""
    missing = output(record(State.PENDING), watcher=RouteStatus("exports", "root missing"))
    assert missing[-1] == (
        "The directory of route exports, /srv/exports, is missing: is the volume mounted? Its pending files are kept."
    )
    scanning = RouteStatus("exports", "scanning only: too many watches", last_scan_at=NOW - 60)
    assert output(record(State.PENDING), watcher=scanning)[-1] == (
        "The watcher of route exports reports: scanning only: too many watches. "
        "Scans run every 5 min; the last one ended at 14:02:00."
    )


def test_a_file_that_patterns_leave_out_by_now_is_reported():
    """The text says that the patterns now exclude a pending file."""
    assert output(record(State.PENDING), left_out=True)[1].startswith(
        "With the present configuration it is left out by the patterns"
    )
