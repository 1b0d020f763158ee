"""However a file is written, renamed or replaced, each object is one of its states, in the end the last one."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from support.system_fixtures import sha256_of, until

MIB = 1 << 20
PATIENCE = 60.0


def bucket(strict):
    return {key: each["sha256"] for key, each in strict.objects(sha256=True).items()}


def holds(strict, key, content):
    return key in strict.objects() and strict.read(key) == content


def same(strict, site):
    return bucket(strict) == sha256_of(site.root)


def run(*command: object) -> None:
    subprocess.run([str(each) for each in command], check=True, capture_output=True)


@pytest.fixture
def site(strict, site_for):
    """Make a site whose scans are an hour apart, so that deliveries come from events."""
    return site_for(strict, rescan_interval="1h")


@pytest.fixture
def source(tmp_path):
    """Make some files with old times, to be copied in by a tool."""
    source = tmp_path / "source"
    for number in range(20):
        path = source / f"{number % 3}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 1000))
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return source


def by_cp(source, root):
    run("cp", "-pr", source, root / "in")


def by_rsync(source, root):
    if not shutil.which("rsync"):
        pytest.skip("rsync is not installed")
    run("rsync", "-a", f"{source}/", root / "in")


def by_tar(source, root):
    run("sh", "-c", f"tar -C '{source}' -cf - . | (mkdir '{root}/in' && tar -C '{root}/in' -xf -)")


def by_mv_from_another_file_system(source, root):
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shm:
        run("cp", "-pr", source, f"{shm}/in")
        run("mv", f"{shm}/in", root)


def by_rename(source, root):
    for path in [each for each in source.rglob("*") if each.is_file()]:
        path.rename(root / path.name)


@pytest.mark.parametrize("brought", [by_cp, by_rsync, by_tar, by_mv_from_another_file_system, by_rename])
def test_each_tool_s_way_of_writing_arrives_without_a_scan(strict, site, source, brought):
    """Twenty files with old times that the tool copies in while the daemon watches arrive byte for byte."""
    with site.daemon():
        until(lambda: site.status()["routes"].get("r", {}).get("watcher") == "watching")
        brought(source, site.root)
        until(lambda: len(bucket(strict)) == 20 and same(strict, site), PATIENCE)


def test_appends_and_rewrites_of_the_same_size_within_a_second_are_distinguished(strict, site):
    """After a hundred rewrites of one size and an append, the last state is in the bucket."""
    with site.daemon():
        log = site.add("log", b"")
        for number in range(100):
            site.add("same", b"%04d" % number)
            with log.open("ab") as file:
                file.write(b"line %d\n" % number)
            time.sleep(0.01)
        until(lambda: same(strict, site), PATIENCE)
        site.add("same", b"last")
        until(lambda: strict.read("same") == b"last", PATIENCE)


def test_a_rewrite_of_the_same_size_just_after_the_delivery_goes_again(strict, site):
    """A file that is rewritten at the moment of its delivery, with the same size, is sent again."""
    with site.daemon():
        for number in range(10):
            before, after = b"%04d" % number, b"%04x" % (number + 0xA000)
            site.add("f", before)
            until(functools.partial(holds, strict, "f", before))
            site.add("f", after)
            until(functools.partial(holds, strict, "f", after))


@pytest.fixture
def whole_seconds(tmp_path):
    """Make a file system with time stamps in whole seconds, as FAT and NFSv3 have."""
    image, mounted = tmp_path / "coarse.img", tmp_path / "coarse"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    commands = (["mkfs.ext4", "-q", "-I", "128", image], ["mount", "-o", "loop", image, mounted])
    for command in commands:
        if not shutil.which(command[0]) or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system can't be made and mounted here")
    yield mounted
    run("umount", "-l", mounted)


@pytest.mark.parametrize("settle", [{"quiet": "0s"}, {"quiet": "300ms"}, {"close_write": True}])
def test_rewrites_of_the_same_size_within_one_tick_of_the_clock_are_not_lost(strict, site, whole_seconds, settle):
    """With stamps of whole seconds rewrites of the same size during discovery are not lost."""
    root = whole_seconds / "root"
    root.mkdir()
    site.write(path=str(root), settle=settle, rescan_interval="1s")
    with site.daemon():
        until(lambda: site.status()["routes"].get("r", {}).get("watcher") == "watching")
        for number in range(20):
            for state in range(4):
                (root / f"{number}").write_bytes(b"%02d %02d" % (number, state))
                time.sleep(0.03)
        until(lambda: bucket(strict) == sha256_of(root))


def test_a_slow_writer_s_file_is_whole_in_the_end(strict, site):
    """With a writer that pauses for longer than `quiet` each object is a state of the file, in the end the last one."""
    states = []
    with site.daemon(), (site.root / "slow").open("wb") as file:
        for number in range(4):
            file.write(b"%d" % number * 5000)
            file.flush()
            states.append(hashlib.sha256((site.root / "slow").read_bytes()).hexdigest())
            until(lambda: bucket(strict).get("slow") == states[-1], PATIENCE)
    assert bucket(strict)["slow"] == states[-1]


def test_a_writer_that_never_ends_is_taken_at_max_wait(strict, site):
    """A file that is written without a pause is sent as it is after `max_wait`; log and explain say so."""
    site.write(settle={"quiet": "1s", "max_wait": "2s"})
    over = threading.Event()

    def write() -> None:
        with (site.root / "endless").open("ab", buffering=0) as file:
            while not over.wait(0.05):
                file.write(b"more")

    writer = threading.Thread(target=write)
    with site.daemon() as daemon:
        writer.start()
        try:
            until(lambda: daemon.events("queued_while_changing"), PATIENCE)
            until(lambda: "max_wait" in site.crosshaul("explain", str(site.root / "endless")).stdout, PATIENCE)
        finally:
            over.set()
            writer.join()
        until(lambda: same(strict, site), PATIENCE)


@pytest.mark.parametrize("change", ["grows", "shrinks", "is replaced", "vanishes"])
@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_change_at_each_part_of_an_upload_never_lands_torn(strict, site, change, part):
    """If the file changes during a part the old state is not delivered, and the new one arrives complete."""
    site.in_parts()
    large = site.add("large", os.urandom(12 * MIB))
    strict.fault("stall", "UploadPart", rule={"part": part, "times": 1}, seconds=4, where="head")
    with site.daemon() as daemon:
        until(lambda: strict.faults()[0]["hits"] == 1)
        if change == "grows":
            with large.open("ab") as file:
                file.write(b"more")
        elif change == "shrinks":
            os.truncate(large, 7 * MIB)
        elif change == "is replaced":
            site.home.joinpath("new").write_bytes(os.urandom(12 * MIB))
            site.home.joinpath("new").rename(large)
        else:
            large.unlink()
            site.add("after", b"it")
            until(lambda: "after" in bucket(strict), PATIENCE)
        until(lambda: change == "vanishes" or same(strict, site), PATIENCE)
        assert daemon.stop() == 0
    # A file that is deleted during its upload may still arrive complete, by its open descriptor.
    assert strict.objects().get("large", {"writes": 1})["writes"] == 1


def test_what_is_no_file_blocks_nobody_and_what_is_sparse_or_linked_twice_arrives(strict, site):
    """FIFOs, sockets, devices and dangling links are skipped; sparse files and hard links are delivered."""
    os.mkfifo(site.root / "fifo")
    (site.root / "dangling").symlink_to("/nowhere")
    if os.geteuid() == 0:
        os.mknod(site.root / "device", 0o600 | 0o020000, os.makedev(1, 3))
    bound = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    os.chdir(site.root)  # the address of a socket has at most 108 bytes
    try:
        bound.bind("socket")
    finally:
        os.fchdir(here)
        os.close(here)
    site.add("sparse")
    os.truncate(site.root / "sparse", 3 * MIB)
    site.add("one", b"linked twice")
    os.link(site.root / "one", site.root / "two")
    with site.daemon() as daemon:
        until(lambda: bucket(strict).keys() == {"sparse", "one", "two"}, PATIENCE)
        assert same(strict, site)
        assert daemon.stop() == 0
    bound.close()


@pytest.mark.parametrize("swapped", ["file", "directory"])
def test_what_is_swapped_for_a_symlink_all_the_time_never_leaks(strict, site, swapped):
    """While a file or a directory alternates with a symlink, the link's target is never sent."""
    outside = site.home / "outside"
    outside.mkdir()
    outside.joinpath("f").write_bytes(b"SECRET" * 10)
    over = threading.Event()

    def flip() -> None:
        name = "d/f" if swapped == "file" else "d"
        target, link, kept = site.root / name, site.home / "link", site.home / "kept"
        goal = outside / "f" if swapped == "file" else outside
        while not over.is_set():
            link.unlink(missing_ok=True)
            link.symlink_to(goal)
            target.rename(kept)
            link.rename(target)
            target.unlink()
            kept.rename(target)
            os.utime(site.root / "d" / "f")

    site.add("d/f", b"public" * 10)
    flipping = threading.Thread(target=flip)
    site.write(rescan_interval="1s")
    with site.daemon() as daemon:
        flipping.start()
        try:
            for number in range(40):
                site.add(f"other-{number}", b"x")
                time.sleep(0.1)
        finally:
            over.set()
            flipping.join()
        until(lambda: same(strict, site), PATIENCE)
        assert daemon.stop() == 0
    assert all(b"SECRET" not in strict.read(key) for key in strict.objects())


def test_two_paths_with_one_key_are_reported_and_neither_overwrites(strict, site):
    """Of two files with one key the first keeps it, and the second is quarantined with the name of the first."""
    site.write(key="{name}")
    site.add("a/f", b"first")
    with site.daemon():
        until(lambda: "f" in bucket(strict))
        site.add("b/f", b"second")
        until(lambda: site.records().get("b/f", {}).get("state") == "quarantined")
    assert strict.read("f") == b"first"
    output = site.crosshaul("explain", str(site.root / "b/f"))
    assert "a/f" in output.stdout
    assert Path(site.root / "b/f").read_bytes() == b"second"
