"""Account B changes under a running daemon: the destination parks, one file probes, and delivery resumes."""

from __future__ import annotations

import itertools
import time

import pytest

from crosshaul.partner import document
from support.system_fixtures import sha256_of, until

NOBODY = document(
    {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Principal": {"AWS": "arn:aws:iam::333333333333:root"}}
)
TWENTY_MINUTES = 1200.0


def files_for(site, seconds, name):
    """Write new files for this many seconds."""
    ends = time.monotonic() + seconds
    for number in itertools.count():
        site.add(f"{name} {number}", b"%d" % number)
        time.sleep(0.05)
        if time.monotonic() > ends:
            return


def overlapping(calls):
    """Return the calls that began before the response to the one before."""
    return [two for one, two in itertools.pairwise(calls) if two["at"] < one["at"] + one["seconds"]]


@pytest.mark.parametrize(
    ("fault", "undone"),
    [
        pytest.param({"role_exists": False}, {"role_exists": True}, id="the role is deleted and made again"),
        pytest.param({"external_id": "another"}, {"external_id": None}, id="the role demands another external ID"),
        pytest.param({"trust_policy": NOBODY}, {"trust_policy": None}, id="the role trusts somebody else"),
        pytest.param({"clock_skew": TWENTY_MINUTES}, {"clock_skew": 0.0}, id="the clock is 20 minutes slow"),
        pytest.param({"clock_skew": -TWENTY_MINUTES}, {"clock_skew": 0.0}, id="the clock is 20 minutes fast"),
    ],
)
def test_what_account_b_changes_and_changes_back_costs_no_file(strict, site_for, fault, undone):
    """While it lasts files wait uncounted and STS and S3 get few calls; afterwards all files are delivered."""
    strict.settings(session_seconds=3)
    site = site_for(strict, settle={"quiet": "100ms"})
    with site.daemon() as daemon:
        files_for(site, 1, "before")
        until(strict.objects)
        strict.settings(**fault)
        for number in itertools.count():
            files_for(site, 0.3, f"during {number}")
            if daemon.events("destination_parked"):
                break
        strict.forget_calls()
        began = time.monotonic()
        files_for(site, 4, "parked")
        lasted = time.monotonic() - began
        assert daemon.events("destination_resumed") == []
        asked, sent = strict.calls("AssumeRole"), strict.calls("PutObject")
        strict.settings(
            **{name: strict.external_id if name == "external_id" else each for name, each in undone.items()}
        )
        until(lambda: len(strict.objects()) == len(sha256_of(site.root)))
        assert daemon.stop() == 0
    # The back-off is 0.2 s, 0.4 s, 0.8 s, then a second, and at least half of that.
    assert len(asked) <= 2 * lasted + 4
    assert len(sent) <= 2 * lasted + 4
    assert overlapping(sent) == []
    assert {key: each["sha256"] for key, each in strict.objects(sha256=True).items()} == sha256_of(site.root)
    assert {each["writes"] for each in strict.objects().values()} == {1}
    assert daemon.events("upload_failed", "file_quarantined") == []
    assert {each["attempts"] for each in site.records().values()} == {0}


def test_a_clock_that_jumps_about_costs_no_file(strict, site_for):
    """While Account B's clock and ours diverge four times, every file arrives once with no attempt counted."""
    strict.settings(session_seconds=3)
    site = site_for(strict, settle={"quiet": "100ms"})
    with site.daemon() as daemon:
        for number, skew in enumerate((TWENTY_MINUTES, 0.0, -TWENTY_MINUTES, 0.0)):
            strict.settings(clock_skew=skew)
            files_for(site, 1.5, f"{number}")
        until(lambda: len(strict.objects()) == len(sha256_of(site.root)))
        assert daemon.stop() == 0
    # Chance decides which call fails first, S3's or the renewal of a short session.
    assert {call["code"] for call in strict.calls()} & {"RequestTimeTooSkewed", "SignatureDoesNotMatch"}
    assert {key: each["sha256"] for key, each in strict.objects(sha256=True).items()} == sha256_of(site.root)
    assert {each["writes"] for each in strict.objects().values()} == {1}
    assert daemon.events("upload_failed", "file_quarantined") == []


def test_fifteen_minutes_without_sts_scaled_down(strict, site_for):
    """While STS is down for several sessions, calls become rarer and no attempt counts; then delivery resumes."""
    strict.settings(session_seconds=2)
    site = site_for(strict, settle={"quiet": "100ms"})
    site.config["retry"] = {"initial": "200ms", "max": "4s"}
    site.write()
    with site.daemon() as daemon:
        files_for(site, 1, "before")
        until(strict.objects)
        strict.fault("reset", "AssumeRole", rule={"times": None})
        strict.forget_calls()
        files_for(site, 15, "during")
        asked = strict.calls("AssumeRole")
        strict.clear_faults()
        until(lambda: len(strict.objects()) == len(sha256_of(site.root)))
        assert daemon.stop() == 0
    assert daemon.events("destination_parked")
    # One second, doubled each time, and at least half of it: at most five in fifteen seconds, and one under way.
    assert len(asked) <= 6
    assert {each["writes"] for each in strict.objects().values()} == {1}
    assert daemon.events("upload_failed", "file_quarantined") == []
    assert {each["attempts"] for each in site.records().values()} == {0}
