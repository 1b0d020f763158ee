"""SIGTERM and SIGINT at any moment: the daemon ends in time, the code says how, and the next start continues."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.partner_fixtures import PartnerProcess
from support.system_fixtures import Daemon, Site, sha256_of, until

MIB = 1 << 20
SLACK = 20.0
"""Seconds that a slow machine may add to any end."""
CLOSING = 10.0


def held(strict: PartnerProcess) -> dict[str, str]:
    return {key: each["sha256"] for key, each in strict.objects(sha256=True).items()}


def impatient(site: Site, seconds: int = 1) -> Site:
    site.config["shutdown_timeout"] = f"{seconds}s"
    site.write()
    return site


def goes_on(strict: PartnerProcess, site: Site) -> None:
    """Check that the next life delivers everything."""
    strict.clear_faults()
    site.push()
    assert held(strict) == sha256_of(site.root)


@contextlib.contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the journal's write lock, as another program, for the block."""
    other = sqlite3.connect(site.state_dir / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_ends_at_once(strict: PartnerProcess, site_for, number: int):
    """An idle daemon exits with 0 at once, whatever shutdown_timeout is."""
    site = impatient(site_for(strict), 60)
    site.add("file", b"1")
    with site.daemon() as daemon:
        until(lambda: daemon.events("file_delivered"))
        began = time.monotonic()
        assert daemon.stop(number) == 0
        assert time.monotonic() - began < SLACK
    goes_on(strict, site)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_put_that_stands_still_is_cut_off(strict: PartnerProcess, site_for, signals: int):
    """With a stuck PutObject the code is 1 at the deadline, or at once after a second SIGTERM; then it is sent."""
    site = impatient(site_for(strict), 2 if signals == 1 else 60)
    site.add("file", b"1")
    strict.fault("stall", "PutObject", rule={"times": None}, seconds=90)
    with site.daemon() as daemon:
        until(lambda: strict.faults()[0]["hits"])
        began = time.monotonic()
        for _ in range(signals):
            daemon.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        assert daemon.wait() == 1
        assert time.monotonic() - began < 2 + SLACK
    assert "transfer.partner" in [each["service"] for each in daemon.events("service_cut_off")]
    goes_on(strict, site)


@pytest.mark.parametrize("arguments", [[], ["--require-ready"]], ids=["waiting", "require-ready"])
def test_an_sts_that_hangs_holds_up_no_end(strict: PartnerProcess, site_for, arguments: list[str]):
    """SIGTERM while AssumeRole hangs, also with --require-ready, ends the daemon in time; nothing is lost."""
    site = impatient(site_for(strict))
    site.add("file", b"1")
    strict.fault("stall", "AssumeRole", rule={"times": None}, seconds=90)
    with starting(site, *arguments) as daemon:
        until(lambda: strict.faults()[0]["hits"])
        began = time.monotonic()
        assert daemon.stop() in {0, 1}
        assert time.monotonic() - began < 1 + CLOSING + SLACK
        assert not any(daemon.complaints())
    goes_on(strict, site)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_locked_journal_holds_up_no_end(strict: PartnerProcess, site_for, signals: int):
    """With a locked journal the code is 1 in time, or at once after a second SIGTERM; nothing is lost."""
    site = impatient(site_for(strict), 1 if signals == 1 else 60)
    site.add("first", b"1")
    with site.daemon() as daemon:
        until(lambda: daemon.events("file_delivered"))
        with locked(site):
            site.add("second", b"2")
            time.sleep(1.0)
            began = time.monotonic()
            for _ in range(signals):
                daemon.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            assert daemon.wait() == 1
            assert time.monotonic() - began < (1 + CLOSING if signals == 1 else 2) + SLACK
            # SQLite waits for a lock for ten seconds, and a second signal for two.
            assert signals == 1 or daemon.events("not_closed_in_time")
    goes_on(strict, site)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_leaves_nothing_half_done(strict: PartnerProcess, site_for, number: int):
    """A signal at any moment of a start drains (0), cuts off (1) or kills by default; there is never a traceback."""
    site = impatient(site_for(strict))
    site.add("file", b"1")
    codes = set()
    for pause in (0.5, 0.9, 1.2, 1.5, 2.0):
        with starting(site) as daemon:
            time.sleep(pause)
            codes.add(daemon.stop(number))
            assert not any(daemon.complaints())
    assert codes <= {0, 1, -number, 130}
    goes_on(strict, site)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_push_drains_too(strict: PartnerProcess, site_for, number: int, code: int):
    """At a signal a push finishes its uploads, begins no further file, and exits with the signal's code."""
    site = site_for(strict)
    site.config["transfer"] = {"max_concurrency": 1}
    site.write()
    for name in ("a", "b", "c"):
        site.add(name, name.encode())
    strict.fault("delay", "PutObject", seconds=2.0)
    with pushing(site) as process:
        until(lambda: strict.faults()[0]["hits"])
        process.send_signal(number)
        _, output = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in output
    assert len(strict.objects()) == 1
    goes_on(strict, site)
    assert {each["writes"] for each in strict.objects().values()} == {1}


@pytest.mark.parametrize("signals", [1, 2])
def test_a_push_that_stands_still_is_cut_off(strict: PartnerProcess, site_for, signals: int):
    """With a stuck upload a push exits with 143 at the deadline, or at once after a second SIGTERM."""
    site = impatient(site_for(strict), 2 if signals == 1 else 60)
    site.in_parts()
    site.add("large", bytes(11 * MIB))
    strict.fault("stall", "UploadPart", rule={"part": 2, "times": None}, seconds=90)
    with pushing(site) as process:
        until(lambda: strict.faults()[0]["hits"])
        began = time.monotonic()
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        process.communicate(timeout=60)
        assert time.monotonic() - began < 2 + SLACK
    assert process.returncode in {143, 1}
    goes_on(strict, site)


@contextlib.contextmanager
def starting(site: Site, *arguments: str) -> Iterator[Daemon]:
    """The daemon from the moment at which its process begins; killed at the end of the block."""
    log = site._stderr()
    command = site._command("run", *arguments)
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, env=site._env()) as process:
        try:
            yield Daemon(process, log)
        finally:
            process.kill()


@contextlib.contextmanager
def pushing(site: Site) -> Iterator[subprocess.Popen[str]]:
    """A push in a process; killed at the end of the block."""
    with subprocess.Popen(site._command("push"), stderr=subprocess.PIPE, text=True, env=site._env()) as process:
        try:
            yield process
        finally:
            process.kill()
