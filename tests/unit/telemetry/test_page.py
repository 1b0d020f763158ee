"""The status page: headline, problems, tables and charts."""

from __future__ import annotations

import re

import pytest

from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import (
    Checksum,
    ChecksumKind,
    DestinationState,
    DestinationStatus,
    Fingerprint,
    Multipart,
    Part,
    Record,
    RouteCounts,
    RouteStatus,
    State,
)
from crosshaul.telemetry.health import HealthReport, ready
from crosshaul.telemetry.history import Sample
from crosshaul.telemetry.status import snapshot
from crosshaul.telemetry.web.chart import chart
from crosshaul.telemetry.web.page import render
from crosshaul.telemetry.web.problems import PageData

NOW = 1_000_000.0
WELL = HealthReport(ok=True)
DENIED = Diagnosis(
    FaultKind.DESTINATION, "AccessDenied", "Denied", "PutObject", 403, "id-1", advice="Allow the role it."
)
LOST = Diagnosis(FaultKind.NETWORK, "ConnectError", "nobody there", "PutObject")
READY = DestinationStatus("a", DestinationState.READY, credentials_expire_at=NOW + 600)
PARKED = DestinationStatus("b", DestinationState.PARKED, NOW + 9, last_error=DENIED)
LOST_WAY = DestinationStatus("b", DestinationState.READY, last_error=LOST, failing=True)
NOT_RENEWED = DestinationStatus("b", DestinationState.READY, None, NOW + 300, DENIED)
STARTING = DestinationStatus("b")
WATCHED = RouteStatus("r", "watching", NOW - 30)
CHANGING = RouteStatus("r", "watching", NOW - 30, settling=2)


def record(path=b"f", state=State.PENDING, **others):
    return Record(
        id=1, route="r", destination="b", path=path, fingerprint=Fingerprint(100, 0, 0, 1), key="f", state=state,
        generation=1, attempts=0, first_seen_at=NOW - 60, changed_at=NOW, due_at=NOW + 5, **others,
    )  # fmt: skip


def page_data(
    *destinations, route=WATCHED, files=None, since=None, samples=(), live=WELL, error=None, paused=(), **lists
):
    """Return the page's data; ``files`` are counts by state, ``since`` is when the oldest was first seen."""
    tally = RouteCounts("r", {State(name): number for name, number in (files or {}).items()}, 1000, 5000, since)
    status = snapshot([tally], destinations, [route], NOW, daemon_pid=1, journal_error=error, paused=paused)
    shown = {"sending": [], "waiting": [], "failed": []} | lists
    return PageData(status=status, live=live, ready=ready(error, destinations), samples=samples, **shown)


def said(page):
    """Return the mood and the headline."""
    mood, headline = re.search(r'id="mood" class="(\w+)"', page), re.search(r'id="headline"[^>]*>([^<]+)<', page)
    assert mood
    assert headline
    return mood[1], headline[1]


MOVING = [Sample(NOW - 20, 3, 1.0, 50.0), Sample(NOW, 3, 1.0, 150.0)]


@pytest.mark.parametrize(
    ("given", "mood", "sentence"),
    [
        (page_data(READY), "good", "Everything is delivered."),
        (page_data(READY, files={"pending": 3}), "good", "Delivering: 3 files to go."),
        (page_data(READY, route=CHANGING), "good", "All settled files are delivered; 2 files are still settling."),
        (page_data(READY, files={"pending": 1}, samples=MOVING), "good", "Delivering: 1 file to go, about 6.7 s."),
        (page_data(PARKED, files={"pending": 2}), "bad", "Nothing gets through to b. 2 files pending."),
        (page_data(PARKED, files={"pending": 2}, samples=MOVING), "bad", "Nothing gets through to b. 2 files pending."),
        (page_data(LOST_WAY), "bad", "Nothing gets through to b."),
        (page_data(READY, PARKED), "warn", "Nothing gets through to b."),
        (page_data(READY, LOST_WAY), "warn", "Nothing gets through to b."),
        (page_data(NOT_RENEWED), "warn", "Credentials for b can&#39;t be renewed and expire in 5 min."),
        (page_data(STARTING), "warn", "Starting."),
        (page_data(READY, route=RouteStatus("r", "root missing")), "bad", "The directory of r is missing."),
        (page_data(READY, paused={"r"}), "warn", "r is paused."),
        (page_data(READY, files={"quarantined": 2}), "warn", "2 files quarantined."),
        (page_data(READY, files={"pending": 1}, since=NOW - 901), "warn", "Behind by 15 min 1 s. 1 file to go."),
        (page_data(READY, files={"pending": 1}, since=NOW - 899), "good", "Delivering: 1 file to go."),
        (page_data(READY, error="disk full"), "bad", "The journal can&#39;t be written: nothing is delivered."),
        (page_data(READY, live=HealthReport(ok=False, reasons=("stuck",))), "bad", "The daemon is stuck."),
        (page_data(READY, PARKED, route=RouteStatus("r", "root missing")), "bad", "The directory of r is missing."),
    ],
)  # fmt: skip
def test_the_headline_names_the_worst_problem(given, mood, sentence):
    """The worst problem is the headline; the time left is shown only while files are delivered."""
    page = render(given)
    assert said(page) == (mood, sentence)
    assert f'href="/{mood}.svg"' in page
    assert ('id="problems"' in page) == (mood != "good")


def test_it_is_never_green_while_readyz_is_red():
    """A reason of /readyz without a problem of its own is shown as it is."""
    given = page_data(READY)
    page = render(
        PageData(
            **{name: getattr(given, name) for name in PageData.__slots__} | {"ready": HealthReport(False, ("odd",))}
        )
    )
    assert said(page) == ("bad", "Files can&#39;t be delivered.")
    assert "odd" in page


def test_errors_and_advice_are_shown_once_each():
    """An error and its advice are shown once each, for a destination and for a quarantined file."""
    aside = record(b"bad", State.QUARANTINED, diagnosis=DENIED)
    page = render(page_data(PARKED, files={"quarantined": 1}, failed=[aside]))
    assert page.count("Denied (HTTP 403, AccessDenied, request id id-1).") == 2
    assert page.count("Allow the role it.") == 2
    assert "<td>Allow the role it.</td>" in page


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (page_data(READY, waiting=[record()]), "b is not configured"),
        (page_data(PARKED, waiting=[record()]), "b is parked"),
        (page_data(LOST_WAY, waiting=[record(diagnosis=LOST)]), "b is unreachable. Next try in 5 s."),
        (page_data(STARTING, waiting=[record()]), "waiting for a worker"),
        (page_data(STARTING, waiting=[record()], paused={"r"}), "the route is paused"),
        (
            page_data(STARTING, waiting=[record(diagnosis=LOST)]),
            "PutObject: nobody there (no response, ConnectError). Next try in 5 s.",
        ),
    ],
)
def test_each_pending_file_has_a_reason(given, why):
    """A pending file has the reason of its route, its destination, its last try, or none of these."""
    assert f"<td>{why}</td>" in render(given)


def test_progress_is_that_of_the_parts():
    """A multipart upload has a bar with the confirmed bytes; another upload is started."""
    parts = tuple(Part(number, 40, "e", Checksum(ChecksumKind.CRC64NVME, "12345678")) for number in (1, 2))
    sending = [
        record(b"big", State.UPLOADING, multipart=Multipart("u", "f", 40, ChecksumKind.CRC64NVME, parts)),
        record(b"small", State.UPLOADING),
    ]
    page = render(page_data(READY, sending=sending))
    assert '<progress value="80" max="100" aria-label="80 % (2 of 3 parts)"></progress>' in page
    assert "<td>started</td>" in page


def test_a_chart_says_in_words_what_it_shows():
    """A chart's label has the time span, the last and the highest value; below two samples there is no line."""
    drawn = chart("Rate", [(NOW - 7200, 1.0), (NOW - 60, 9.0), (NOW, 3.0)], lambda value: f"{value:.0f} B/s")
    assert drawn.label == "Rate over the last 2 h: now 3 B/s, at most 9 B/s."
    assert drawn.points.split() == ["0.0,82.2", "476.0,4.0", "480.0,62.7"]
    collecting = chart("Rate", [(NOW, 1.0)], str)
    assert (collecting.caption, collecting.points) == ("no data yet", "")
