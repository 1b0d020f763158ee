"""Standard error that is not read: a full pipe, a stopped terminal. Deliveries, pages and the exit still work."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from support.partner_fixtures import PartnerProcess
from support.system_fixtures import Site, until

FILES = 700


def filled() -> tuple[int, int]:
    """Return a full pipe that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b".")
    os.set_blocking(writing, True)
    return reading, writing


def stopped_terminal() -> tuple[int, int]:
    """Return a full terminal whose user has stopped it."""
    reading, writing = pty.openpty()
    return reading, writing  # the other side is not read: its buffer holds 4 to 20 KB


@contextlib.contextmanager
def at_work(site: Site, ends: tuple[int, int], verb: str = "run") -> Iterator[subprocess.Popen]:
    reading, writing = ends
    process = subprocess.Popen(site._command(verb), stderr=writing, stdout=subprocess.DEVNULL, env=site._env())
    os.close(writing)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(reading)


@pytest.mark.parametrize("made", [filled, stopped_terminal])
def test_a_log_that_nobody_reads_stops_nothing(strict: PartnerProcess, site_for, made):
    """All files arrive, the page counts the lost lines, and SIGTERM ends the daemon with 0 in a few seconds."""
    site = site_for(strict)
    site.config["log"] = {"format": "json", "level": "debug"}
    port = free_port()
    site.config["http"] = {"listen": f"127.0.0.1:{port}"}
    site.write()
    for number in range(FILES):
        site.add(f"{number:05}", b"x")
    with at_work(site, made()) as process:
        until(lambda: len(strict.objects()) == FILES)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=30) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert b"crosshaul_log_lines_dropped_total" in answer.read()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert time.monotonic() - began < 25  # of the 30 s that a drain may take


@pytest.mark.parametrize("verb", ["run", "push"])
def test_an_error_that_nobody_reads_holds_up_no_end(strict: PartnerProcess, site_for, verb: str):
    """A failing daemon and a stopped push exit although their message is not read."""
    site = site_for(strict)
    site.write()
    site.add("a", b"x")
    strict.fault("stall", "PutObject", rule={"times": None}, seconds=90)
    site.config["shutdown_timeout"] = "1s"
    site.write()
    with at_work(site, filled(), verb) as process:
        until(lambda: strict.faults()[0]["hits"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in {1, 143}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
