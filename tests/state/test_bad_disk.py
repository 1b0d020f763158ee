"""A full or read-only disk under ``state_dir``: the messages, what is kept, and the recovery."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.partner_fixtures import PartnerProcess
from support.system_fixtures import Site, sha256_of, until

MIB = 1 << 20
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounts need root")


@contextlib.contextmanager
def mounted(place: Path, *options: str, size: str = "8m") -> Iterator[None]:
    """Mount a small file system at ``place``."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size},mode=0700", *options]), "none", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(directory: Path) -> Path:
    """Fill the disk to the last byte."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def served(site: Site) -> str:
    """Have the daemon serve its pages; return their address."""
    port = free_port()
    site.config["http"] = {"listen": f"127.0.0.1:{port}"}
    site.write()
    return f"http://127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def got(url: str) -> tuple[int, str]:
    """Return status and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def held(strict: PartnerProcess) -> dict[str, str]:
    return {key: each["sha256"] for key, each in strict.objects(sha256=True).items()}


def test_a_disk_that_fills_up_stops_nothing_for_good(strict: PartnerProcess, site_for):
    """With a full disk log, /readyz, /status.json and `status` say so; with free space all files arrive."""
    site = site_for(strict)
    with mounted(site.state_dir):
        address = served(site)
        site.add("before", b"1")
        with site.daemon() as daemon:
            until(lambda: "before" in strict.objects())
            ballast = fill(site.state_dir)
            for number in range(200):
                site.add(f"meanwhile/{number:04}", b"%d" % number)
            until(lambda: got(f"{address}/readyz")[0] == 503)
            assert "the disk is full" in got(f"{address}/readyz")[1]
            assert "the disk is full" in json.loads(got(f"{address}/status.json")[1])["journal"]["error"]
            assert "full: free some space" in site.status()["journal"]["error"]
            until(lambda: any("the disk is full" in each["error"] for each in daemon.events("service_failed")))
            assert got(f"{address}/livez")[0] == 200
            ballast.unlink()
            until(lambda: len(strict.objects()) == 201, timeout=90)
            assert held(strict) == sha256_of(site.root)
            until(lambda: got(f"{address}/readyz")[0] == 200, timeout=60)
            until(lambda: site.status()["delivered"] == 201)
            assert site.status()["journal"]["error"] is None
            assert daemon.stop() == 0


@pytest.mark.parametrize("after", ["keep", "delete"])
def test_a_disk_that_fills_up_in_mid_upload_loses_no_file(strict: PartnerProcess, site_for, after: str):
    """Files that were being sent when no receipt could be written stay, and are sent or recognised later."""
    site = site_for(strict, after_upload=after)
    files = {f"{number:03}": b"%d" % number for number in range(200)}
    with mounted(site.state_dir):
        site.add("first", b"")
        site.push()
        ballast = site.state_dir / "ballast"
        strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.3)
        for name, data in files.items():
            site.add(name, data)
        with site.daemon() as daemon:
            until(lambda: len(strict.objects()) > 20)
            fill(site.state_dir)
            until(lambda: daemon.events("service_failed"))
            gone = {name for name in files if not (site.root / name).exists()}
            assert gone <= set(strict.objects())
            ballast.unlink()
            until(lambda: set(strict.objects()) == {*files, "first"}, timeout=90)
            until(lambda: site.status()["delivered"] == 201, timeout=60)
            if after == "delete":
                until(lambda: not any(site.root.iterdir()))
            assert daemon.stop() == 0
    assert {name: strict.read(name) for name in list(files)[::20]} == {name: files[name] for name in list(files)[::20]}


@contextlib.contextmanager
def shared_disk(strict: PartnerProcess, site_for, home: Path) -> Iterator[tuple[Site, Path]]:
    """Put watched files and journal on one small disk; sources are deleted, and one file was delivered before."""
    spool = home / "spool"
    with mounted(home, size="40m"):
        site = site_for(strict, after_upload="delete")
        site.config["state_dir"] = str(home / "state")
        spool.mkdir()
        site.write(path=str(spool))
        (spool / "first").touch()
        site.push()
        yield site, spool


@pytest.mark.parametrize("full", ["while it runs", "before it starts"])
def test_a_disk_shared_with_the_watched_files_empties_itself(strict: PartnerProcess, site_for, tmp_path, full: str):
    """On a full disk receipts can still be written, so that sources are deleted and space becomes free."""
    home = tmp_path / "disk"
    with shared_disk(strict, site_for, home) as (site, spool):
        strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.2)
        names = [f"{number:04}-{'x' * 150}" for number in range(500)]
        with contextlib.ExitStack() as running:
            if full == "while it runs":
                running.enter_context(site.daemon())
            for name in names:
                (spool / name).write_bytes(b"content")
            spare = fill(home)
            if full == "before it starts":
                running.enter_context(site.daemon())
            until(lambda: not list(spool.glob("0*")), timeout=60)
            spare.unlink()
            until(lambda: not any(spool.iterdir()), timeout=60)
    assert {*names, "first"} == set(strict.objects())


@contextlib.contextmanager
def greedy(directory: Path) -> Iterator[None]:
    """Take all free space continuously, as another program."""
    over = threading.Event()

    def take() -> None:
        with (directory / "greedy").open("wb", buffering=0) as file:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    while file.write(bytes(65536)):
                        pass
                time.sleep(0.001)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_shared_disk_empties_itself_while_others_continue_writing(strict: PartnerProcess, site_for, tmp_path):
    """While a program takes all released space, there is still space for every receipt."""
    home = tmp_path / "disk"
    with shared_disk(strict, site_for, home) as (site, spool):
        strict.fault("error", rule={"times": None})
        names = [f"{number:04}-{'x' * 150}" for number in range(1000)]
        with site.daemon() as daemon:
            for name in names:
                (spool / name).write_bytes(b"content")
            with greedy(home):
                until(lambda: os.statvfs(home).f_bavail == 0)
                strict.clear_faults()
                until(lambda: not list(spool.glob("0*")), timeout=60)
            assert daemon.stop() == 0
    assert {*names, "first"} <= set(strict.objects())


def test_a_disk_that_is_full_at_the_start_is_one_line(strict: PartnerProcess, site_for):
    """Without space for an empty journal the code is 75 and a line says to free space; then the daemon starts."""
    site = site_for(strict)
    site.add("file", b"1")
    with mounted(site.state_dir):
        (site.state_dir / "lock").touch()
        ballast = fill(site.state_dir)
        for verb in ("run", "push"):
            done = site.crosshaul(verb)
            [line] = done.stderr.splitlines()
            assert (done.returncode, str(site.state_dir) in line) == (75, True)
            assert "full" in line or "No space left" in line
            assert "Free some space" in line
        ballast.unlink()
        site.push()
    assert held(strict) == sha256_of(site.root)


def test_a_read_only_disk_is_one_line_and_status_tells_it(strict: PartnerProcess, site_for):
    """On a read-only disk run, push and status say so; after a remount the daemon delivers."""
    site = site_for(strict)
    site.add("file", b"1")
    with mounted(site.state_dir):
        site.push()
        site.add("another", b"2")
        subprocess.run(["mount", "-o", "remount,ro", str(site.state_dir)], check=True)
        for verb in ("run", "push"):
            done = site.crosshaul(verb)
            [line] = done.stderr.splitlines()
            assert (done.returncode, str(site.state_dir) in line, "Read-only file system" in line) == (75, True, True)
        output = site.crosshaul("status")
        assert "read-only" in output.stdout + output.stderr
        assert len(output.stderr.splitlines()) <= 1
        subprocess.run(["mount", "-o", "remount,rw", str(site.state_dir)], check=True)
        site.push()
    assert held(strict) == sha256_of(site.root)
