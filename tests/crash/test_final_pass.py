"""`run --finish` delivers what was written until the end, and ends within the time limit."""

from __future__ import annotations

import os
import signal
import time

import pytest

from support.partner_fixtures import PartnerProcess
from support.system_fixtures import sha256_of, until

MIB = 1 << 20


@pytest.fixture
def site(strict: PartnerProcess, site_for):
    made = site_for(strict, settle={"quiet": "1s"})
    made.config["shutdown_timeout"] = "20s"
    made.write()
    return made


def test_without_it_what_is_not_begun_waits_for_the_next_start(strict, site):
    """Without --finish a stop begins no new upload and is quick."""
    with site.daemon() as daemon:
        site.add("last words", b"x")
        assert daemon.stop() == 0
    assert strict.objects() == {}


def test_files_written_just_before_the_signal_are_delivered(strict, site):
    """Files that were not seen before the signal, also in new directories, settle and are delivered; the code is 0."""
    with site.daemon("--finish") as daemon:
        site.add("early", b"1")
        until(lambda: "early" in strict.objects())
        os.kill(daemon.process.pid, signal.SIGSTOP)  # no event arrives in time
        for number in range(300):
            site.add(f"new {number % 7}/directory/{number}", b"%d" % number)
        site.add("large", bytes(40 * MIB))
        daemon.process.send_signal(signal.SIGTERM)
        os.kill(daemon.process.pid, signal.SIGCONT)
        assert daemon.wait() == 0
        assert [each["undelivered"] for each in daemon.events("final_pass")] == [0]
    assert {key: each["sha256"] for key, each in strict.objects(sha256=True).items()} == sha256_of(site.root)


def test_a_backlog_is_delivered_as_well(strict, site):
    """Pending files in the journal are delivered before the end, however few uploads run at the signal."""
    site.config["transfer"] = {"max_concurrency": 2}
    site.config["routes"][0]["settle"]["quiet"] = "0s"
    site.write()
    strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.1)
    for number in range(60):
        site.add(str(number), b"x")
    with site.daemon("--finish") as daemon:
        until(strict.objects)
        assert daemon.stop() == 0
    assert len(strict.objects()) == 60


def test_an_idle_daemon_ends_soon(site):
    """With nothing to deliver, the daemon ends long before the time limit."""
    with site.daemon("--finish") as daemon:
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 18


def test_a_partner_that_takes_nothing_is_not_waited_for(strict, site):
    """The files of a parked destination are left: the log has their number, and the code is 1."""
    strict.settings(role_exists=False)
    with site.daemon("--finish") as daemon:
        site.add("a", b"x")
        until(lambda: daemon.events("destination_parked"))
        began = time.monotonic()
        assert daemon.stop() == 1
        assert time.monotonic() - began < 18
        assert [each["undelivered"] for each in daemon.events("final_pass")] == [1]


@pytest.mark.parametrize("again", [False, True], ids=["the time is up", "a second signal"])
def test_it_ends_when_the_time_is_up_or_at_a_second_signal(strict, site, again):
    """Files that are undelivered after shutdown_timeout, or at a second signal, are left."""
    site.config["shutdown_timeout"] = "60s" if again else "3s"
    site.config["routes"][0]["settle"]["quiet"] = "0s"
    site.write()
    strict.fault("stall", "PutObject", rule={"times": None}, seconds=120)
    with site.daemon("--finish") as daemon:
        site.add("a", b"x")
        until(lambda: site.status()["uploading"] == 1)
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        if again:
            time.sleep(1)
            daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait() == 1
        assert time.monotonic() - began < 30
