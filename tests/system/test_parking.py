"""A refused destination or session is tried again as configured, with no attempt counted."""

from __future__ import annotations

import itertools
import time

from support.system_fixtures import sha256_of, until


def test_two_revocations_in_quick_succession_blame_no_file(strict, site_for):
    """After two revocations within five seconds, faster than sessions are replaced, no attempt is counted."""
    site = site_for(strict, settle={"quiet": "0s"})
    strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.2)
    with site.daemon() as daemon:
        for round_ in range(2):
            for number in range(60):
                site.add(f"{round_} {number}", b"%d" % number)
                time.sleep(0.01)
                if number == 30:
                    until(strict.objects)  # there is a session to revoke
                    strict.revoke("ExpiredToken")
            until(lambda: len(strict.objects()) == len(sha256_of(site.root)))
        daemon.stop()
    assert daemon.events("upload_failed") == []
    assert {each["attempts"] for each in site.records().values()} == {0}


def test_a_parked_destination_is_tried_as_often_as_configured(strict, site_for):
    """With retry {initial: 200ms, max: 1s} canaries come about every second, not every five."""
    strict.settings(role_policy={"Version": "2012-10-17", "Statement": []})
    site = site_for(strict)
    site.add("file")
    with site.daemon() as daemon:
        until(lambda: len(strict.calls("PutObject")) >= 4)
        at = [call["at"] for call in strict.calls("PutObject")]
        assert max(b - a for a, b in itertools.pairwise(at)) < 4
        daemon.stop()


def test_require_ready_sees_a_wrong_region(strict, site_for):
    """--require-ready detects a wrong region in spite of botocore's silent redirect."""
    site = site_for(strict)
    site.destination["region"] = "eu-west-1"
    site.write()
    with site.daemon("--require-ready") as daemon:
        assert daemon.wait() == 3
