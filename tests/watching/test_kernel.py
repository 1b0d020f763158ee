"""Kernel events and their gaps: the whole daemon on real directories, mounts and limits."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from support.system_fixtures import sha256_of, until

MINUTES = 240.0
SETTLED_IN = 3.0
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")


def keys(strict):
    return set(strict.objects())


def arrived(strict, site):
    """True if the bucket has exactly the root's files, byte for byte."""
    return {key: each["sha256"] for key, each in strict.objects(sha256=True).items()} == sha256_of(site.root)


def watching(site) -> bool:
    return site.status()["routes"].get("r", {}).get("watcher") == "watching"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def counted(port: int, counter: str) -> float:
    """Return a counter of the daemon's metrics, over all its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith(f"crosshaul_{counter}_total{{")]
    return sum(float(line.split()[-1]) for line in found)


def under_unshare(setup: str, *, as_root: bool = True) -> list[str]:
    """Return a command that runs another one in its own user namespace, after ``setup``."""
    command = ["unshare", "-Ur" if as_root else "-U", "sh", "-c", f'{setup}; exec "$@"', "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    return command


@pytest.mark.timeout(600)
def test_an_overflown_queue_loses_no_file_and_is_reported(strict, site_for):
    """More files than the kernel's queue holds, created while the daemon is stopped, arrive; the loss is counted."""
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    files = int(os.environ.get("OVERFLOW", queue + 4_000))
    site = site_for(strict)
    site.config["http"]["listen"] = f"127.0.0.1:{(port := free_port())}"
    site.write(rescan_interval="1h")
    with site.daemon() as daemon:
        until(lambda: watching(site))
        time.sleep(SETTLED_IN)  # at the start everything is scanned anyway
        daemon.process.send_signal(signal.SIGSTOP)
        for number in range(files):
            (site.root / f"{number}").touch()
        daemon.process.send_signal(signal.SIGCONT)
        until(lambda: counted(port, "files_delivered") >= files, MINUTES)  # listing all of them is slow
        assert len(strict.objects()) == files
        assert counted(port, "watch_lost_events") > 0
        assert daemon.event("watch_lost_events")
        assert daemon.stop() == 0


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def test_thousands_of_nested_directories_stop_nobody(strict, site_for):
    """4,000 levels of long names cost little memory, other files are sent, and one line says what is skipped."""
    site = site_for(strict)
    site.write(rescan_interval="1s")
    descriptor = os.open(site.root, os.O_RDONLY)
    for _ in range(4_000):
        os.mkdir(b"d" * 250, dir_fd=descriptor)
        below = os.open(b"d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        descriptor = below
    os.close(descriptor)
    try:
        with site.daemon() as daemon:
            site.add("good", b"good")
            until(lambda: "good" in keys(strict))
            until(lambda: any("longer than 4,096" in line["reason"] for line in daemon.events("path_skipped")))
            time.sleep(2.5)
            assert len(daemon.events("path_skipped")) == 1
            assert resident_mib(daemon.process.pid) < 200
    finally:
        subprocess.run(["rm", "-rf", site.root], check=True)


def test_new_directories_are_followed_as_fast_as_they_are_made(strict, site_for):
    """A thousand directories created in a loop, and 400 nested ones, are found with all files."""
    site = site_for(strict, rescan_interval="1h")
    with site.daemon():
        until(lambda: watching(site))
        for number in range(1000):
            site.add(f"{number % 10}/{number % 100}/{number}/f", b"%d" % number)
        site.add("d/" * 400 + "f", b"deep")
        until(lambda: arrived(strict, site), MINUTES)
        assert len(keys(strict)) == 1001


def test_a_directory_renamed_in_brings_all_that_is_in_it(strict, site_for):
    """A thousand files in a directory that is moved into the root are delivered without waiting for a scan."""
    site = site_for(strict, rescan_interval="1h")
    outside = site.home / "outside"
    for number in range(1000):
        path = outside / f"{number % 7}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    with site.daemon():
        until(lambda: watching(site))
        outside.rename(site.root / "in")
        until(lambda: arrived(strict, site), MINUTES)
        assert len(keys(strict)) == 1000


def test_a_root_may_come_late_go_and_come_again(strict, site_for):
    """Files arrive in a root that is created late, and in one that is deleted and created again."""
    site = site_for(strict, rescan_interval="2s")
    site.root.rmdir()
    with site.daemon() as daemon:
        until(lambda: daemon.events("scan_failed"))
        site.add("first", b"1")
        until(lambda: "first" in keys(strict))
        shutil.rmtree(site.root)
        site.add("second", b"2")
        until(lambda: "second" in keys(strict))
        site.add("third", b"3")
        until(lambda: "third" in keys(strict))
        assert daemon.stop() == 0
    assert keys(strict) == {"first", "second", "third"}


def test_what_takes_the_root_s_place_is_no_deletion(strict, site_for):
    """A pending file survives the absence of its root, and is sent when the root is back."""
    site = site_for(strict, rescan_interval="1s")
    strict.fault("error", "PutObject", rule={"times": None}, status=403, code="AccessDenied", message="no")
    with site.daemon() as daemon:
        site.add("waits", b"for the partner")
        until(lambda: daemon.events("destination_parked"))
        site.root.rename(site.home / "away")
        site.root.symlink_to(tempfile.mkdtemp(dir=site.home))
        until(lambda: daemon.events("path_skipped"))
        strict.clear_faults()
        assert site.records()["waits"]["state"] in {"pending", "changed", "uploading"}
        site.root.unlink()
        (site.home / "away").rename(site.root)
        until(lambda: "waits" in keys(strict))
        assert daemon.stop() == 0
    assert site.records()["waits"]["state"] == "delivered"


@ROOT_ONLY
def test_an_unmounted_volume_s_files_wait_for_it(strict, site_for):
    """After an unmount and a mount the volume's files are neither gone nor sent twice, and new ones are found."""
    site = site_for(strict, rescan_interval="1s")
    volume = site.home / "volume"
    volume.mkdir()
    if subprocess.run(["mount", "--bind", volume, site.root], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    mounted = True
    try:
        with site.daemon() as daemon:
            site.add("one", b"1")
            until(lambda: "one" in keys(strict))
            strict.fault("error", "PutObject", rule={"times": None}, status=403, code="AccessDenied", message="no")
            site.add("two", b"2")
            until(lambda: daemon.events("destination_parked"))
            subprocess.run(["umount", "--lazy", site.root], check=True)
            mounted = False
            until(lambda: daemon.events("path_skipped"))
            strict.clear_faults()
            assert {each["state"] for each in site.records().values()} <= {
                "delivered",
                "pending",
                "changed",
                "uploading",
            }
            subprocess.run(["mount", "--bind", volume, site.root], check=True)
            mounted = True
            until(lambda: "two" in keys(strict))
            site.add("three", b"3")
            until(lambda: "three" in keys(strict))
            assert daemon.stop() == 0
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", site.root], check=True)
    assert {each["writes"] for each in strict.objects().values()} == {1}


def test_a_root_on_tmpfs_is_watched_like_any_other(strict, site_for):
    """In /dev/shm renames and writes are noticed without a scan."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm")
    site = site_for(strict, rescan_interval="1h")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shm:
        site.write(path=shm)
        with site.daemon():
            until(lambda: watching(site))
            Path(shm, "a").write_bytes(b"a")
            Path(shm, "draft").write_bytes(b"b")
            Path(shm, "draft").rename(Path(shm, "b"))
            until(lambda: {"a", "b"} <= keys(strict))


def test_at_the_watch_limit_the_setting_is_named_and_scans_cover_the_rest(strict, site_for):
    """With 20 watches for 100 directories the daemon names the setting, and every file arrives."""
    site = site_for(strict, rescan_interval="1s")
    site.under = under_unshare("echo 20 > /proc/sys/user/max_inotify_watches")
    for number in range(100):
        site.add(f"{number}/before", b"%d" % number)
    with site.daemon() as daemon:
        until(lambda: len(keys(strict)) == 100)
        for number in range(100):
            site.add(f"{number}/after", b"%d" % number)
        until(lambda: arrived(strict, site))
        until(lambda: "max_user_watches" in daemon.log.read_text())
        assert daemon.stop() == 0


def test_an_unreadable_directory_hides_nobody_else(strict, site_for):
    """An unreadable directory is named and all else is delivered; later its files are too."""
    site = site_for(strict, rescan_interval="1s")
    site.under = under_unshare(":", as_root=False)  # without the capabilities that make root see everything
    site.add("a/file", b"1")
    site.add("closed/file", b"2")
    site.add("z/file", b"3")
    (site.root / "closed").chmod(0)
    with site.daemon() as daemon:
        until(lambda: keys(strict) == {"a/file", "z/file"})
        until(lambda: "closed" in daemon.log.read_text())
        (site.root / "closed").chmod(0o755)
        until(lambda: arrived(strict, site))
        assert daemon.stop() == 0
