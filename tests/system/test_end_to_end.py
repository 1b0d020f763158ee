"""The main function, by the real command: settled files of a directory arrive in the partner's bucket."""

import hashlib
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path

from support.system_fixtures import complaints, is_empty, sha256_of, until

MIB = 1 << 20
ODD_NAMES = {
    b"with space": "with space",
    b" spaces around ": " spaces around ",
    b"100% sure+plus&amp=1;x": "100% sure+plus&amp=1;x",
    b"question?mark#hash": "question?mark#hash",
    "composed \N{LATIN SMALL LETTER E WITH ACUTE}".encode(): "composed \u00e9",
    "composed e\N{COMBINING ACUTE ACCENT}".encode(): "composed e\u0301",
    "\N{PILE OF POO}\N{RIGHT-TO-LEFT OVERRIDE}".encode(): "\U0001f4a9\u202e",
    b"line\nbreak\ttab": "line\nbreak\ttab",
    b".hidden": ".hidden",
    b"..two": "..two",
    b"...": "...",
    b"back\\slash 'quotes\" <angle>": "back\\slash 'quotes\" <angle>",
    b"not utf-8: caf\xe9": "not utf-8: caf%E9",
    b"looks so: caf%E9": "looks so: caf%25E9",
    b"looks so: %2525": "looks so: %252525",
    b"-rf": "-rf",
    b"~": "~",
    b"dir ectory/d\xc3\xa9ep/%/file": "dir ectory/d\u00e9ep/%/file",
}
"""Bytes of a path -> the key that they have to become."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def arrives(account, expected: Mapping[str, str]) -> None:
    """Wait until the bucket holds exactly these objects, byte for byte."""
    until(lambda: not (account.sha256().items() ^ expected.items()))


def test_what_was_there_and_what_comes_arrives(account, site_for):
    """Existing files, files added later, a tree moved in and a large file in parts all arrive."""
    site = site_for(account)
    site.in_parts()
    for number in range(20):
        site.add(f"before/{number:02}", b"%d" % number)
    with site.daemon() as daemon:
        site.add("new/deep/er/small", b"while it runs")
        site.add("empty")
        site.add("large", random.Random(1).randbytes(11 * MIB + 1))
        (site.home / "elsewhere" / "below").mkdir(parents=True)
        (site.home / "elsewhere" / "below" / "file").write_bytes(b"moved in")
        (site.home / "elsewhere").rename(site.root / "tree")
        arrives(account, sha256_of(site.root))
        assert daemon.stop() == 0
    assert len(daemon.events("file_delivered")) == len(sha256_of(site.root)) == 24
    assert not daemon.events("upload_failed", "destination_parked")
    status = site.status()
    assert (status["delivered"], status["pending"], status["uploading"], status["quarantined"]) == (24, 0, 0, 0)


def test_odd_names_arrive_under_their_keys(account, site_for):
    """A file with any bytes in its name arrives under its own, reversible key."""
    site = site_for(account)
    expected = {}
    with site.daemon() as daemon:
        for path, key in ODD_NAMES.items():
            file = os.path.join(os.fsencode(site.root), path)  # noqa: PTH118 - bytes
            Path(os.fsdecode(file)).parent.mkdir(parents=True, exist_ok=True)
            Path(os.fsdecode(file)).write_bytes(path)
            expected[key] = digest(path)
        arrives(account, expected)
        assert daemon.stop() == 0
    listed = site.records()
    assert {each["key"] for each in listed.values()} == set(expected)
    assert {each["state"] for each in listed.values()} == {"delivered"}


def test_a_rename_into_place_is_quick(account, site_for):
    """With a long quiet time a file renamed into place is sent at once, and one written in place is not."""
    site = site_for(account, settle={"quiet": "5m"})
    with site.daemon() as daemon:
        # A rename before the first scan, which sets the watches, causes no event.
        until(lambda: site.status()["routes"]["r"]["last_scan_at"])
        written = site.add("written", b"in place")
        (site.home / "made").write_bytes(b"elsewhere")
        (site.home / "made").rename(site.root / "renamed")
        arrives(account, {"renamed": digest(b"elsewhere")})
        written.rename(site.root / "written too")
        arrives(account, {"renamed": digest(b"elsewhere"), "written too": digest(b"in place")})
        assert daemon.stop() == 0


def test_changes_go_again_and_deletions_go_nowhere(account, site_for):
    """A changed file replaces its object; a deleted or renamed one leaves its object unchanged."""
    site = site_for(account)
    changing, leaving = site.add("changing", b"one"), site.add("leaving", b"stays in the bucket")
    moving = site.add("moving", b"same")
    with site.daemon() as daemon:
        arrives(account, sha256_of(site.root))
        before = {**sha256_of(site.root)}
        changing.write_bytes(b"two, and longer")
        leaving.unlink()
        moving.rename(site.root / "moved")
        arrives(account, before | sha256_of(site.root))
        changing.write_bytes(b"TWO, AND LONGER")
        site.add("last")
        arrives(account, before | sha256_of(site.root))
        assert daemon.stop() == 0
    assert {name: each["state"] for name, each in site.records().items()} == dict.fromkeys(
        ["changing", "leaving", "moving", "moved", "last"], "delivered"
    )


def test_a_file_that_keeps_changing_is_sent_when_it_rests(account, site_for):
    """A file that is being written is not sent before it was unchanged for the quiet time."""
    site = site_for(account, settle={"quiet": "3s"})
    with site.daemon() as daemon, (site.root / "growing").open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"a line\n")
            time.sleep(0.2)
        assert account.sha256() == {}
        arrives(account, {"growing": digest(b"a line\n" * 10)})
        assert daemon.stop() == 0
    assert len(daemon.events("file_delivered")) == 1


def test_symlinks_outside_are_never_read(account, site_for):
    """Nothing outside the root is sent, whether symlinks are skipped or followed inside."""
    site = site_for(account, symlinks="skip")
    secret = site.home / "secret"
    secret.mkdir()
    (secret / "file").write_bytes(b"not for the partner")
    site.add("inside/file", b"for the partner")
    for name, target in (
        ("file", secret / "file"),
        ("directory", secret),
        ("relative", Path("../secret/file")),
        ("climbing", Path("inside/../../secret/file")),
        ("dangling", site.root / "nothing"),
        ("loop", site.root / "loop"),
    ):
        (site.root / name).symlink_to(target)
    (site.root / "good").symlink_to("inside/file")
    assert site.push().startswith("Delivered 1 file ")
    assert account.sha256() == {"inside/file": digest(b"for the partner")}
    site.write(symlinks="follow_inside")
    done = site.crosshaul("push")
    assert done.returncode == 0, done
    assert account.sha256() == {"inside/file": digest(b"for the partner"), "good": digest(b"for the partner")}


def test_include_and_exclude_choose(account, site_for):
    """Files that the patterns exclude are not sent, also when they are added later."""
    site = site_for(account, include=["**", "!*.log"], exclude=["*.tmp", "cache/", "/top/*", "!/top/keep"])
    for name in ("a.txt", "b.tmp", "cache/c", "deep/cache/d", "top/x", "top/keep", "e.log", ".git/config"):
        site.add(name, name.encode())
    with site.daemon() as daemon:
        taken = ["a.txt", "top/keep", ".git/config"]
        arrives(account, {name: digest(name.encode()) for name in taken})
        for name in ("later.tmp", "cache/later", "later.txt"):
            site.add(name, name.encode())
        arrives(account, {name: digest(name.encode()) for name in [*taken, "later.txt"]})
        assert daemon.stop() == 0


def test_the_key_template_places_files(account, site_for):
    """The template and the prefix determine a file's key."""
    site = site_for(account, key="{route}/{mtime:%Y/%m}/{stem}-{sha256}{suffix}")
    site.destination["key_prefix"] = "from/a/"
    site.write()
    os.utime(site.add("deep/report.tar", b"x"), (1_000_000_000, 1_000_000_000))
    site.push()
    assert account.sha256() == {f"from/a/r/2001/09/report-{digest(b'x')}.tar": digest(b"x")}


def test_a_second_push_sends_only_what_changed(account, site_for):
    """A second push uploads nothing, and after ten changes ten files."""
    site = site_for(account)
    for number in range(60):
        site.add(f"{number % 7}/{number}", b"%d" % number)
    assert site.push().startswith("Delivered 60 files ")
    first = account.marks()
    assert account.sha256() == sha256_of(site.root)
    assert site.push() == "Delivered 0 files; 60 were delivered before."
    assert account.marks() == first
    changed = {f"{number % 7}/{number}" for number in range(10)}
    for name in changed:
        site.add(name, b"changed")
    assert site.push().startswith("Delivered 10 files ")
    assert account.sha256() == sha256_of(site.root)
    assert {key for key, mark in account.marks().items() if first[key] != mark} == changed


def test_a_marker_says_when(account, site_for):
    """With a marker template a file is sent when its marker exists, and no marker is sent."""
    site = site_for(account, settle={"marker": "{path}.done"})
    site.add("first", b"1")
    site.add("first.done")
    site.add("second", b"2")
    with site.daemon() as daemon:
        arrives(account, {"first": digest(b"1")})
        time.sleep(0.5)
        assert set(account.sha256()) == {"first"}
        site.add("second.done")
        arrives(account, {"first": digest(b"1"), "second": digest(b"2")})
        assert daemon.stop() == 0


def test_delivered_files_move_and_refused_ones_stay(account, site_for):
    """A source is moved only after delivery: while the account refuses, it stays."""
    site = site_for(account)
    done = site.home / "delivered"
    done.mkdir()
    site.write(after_upload={"move_to": str(done)})
    site.add("deep/a", b"a")
    site.add("b", b"b")
    before = {path: path.stat() for path in site.root.rglob("*") if path.is_file()}
    right = site.external_id_file.read_text()
    site.external_id_file.write_text("not-the-external-id")
    assert site.crosshaul("push").returncode == 1
    assert {path: path.stat().st_mtime_ns for path in before} == {path: s.st_mtime_ns for path, s in before.items()}
    assert list(done.iterdir()) == []
    site.external_id_file.write_text(right)
    site.push()
    assert account.sha256() == sha256_of(done) == {"deep/a": digest(b"a"), "b": digest(b"b")}
    assert sha256_of(site.root) == {}


def test_delivered_files_are_deleted(account, site_for):
    """With after_upload delete a source is deleted after delivery and grace period."""
    site = site_for(account, after_upload="delete")
    late = site.home / "late"
    late.mkdir()
    (late / "kept").write_bytes(b"for a while")
    grace = {"action": "delete", "grace": "1h"}
    site.config["routes"].append({**site.route, "name": "late", "path": str(late), "after_upload": grace})
    site.write()
    expected = {"kept": digest(b"for a while")}
    with site.daemon() as daemon:
        for number in range(10):
            site.add(f"{number}", b"%d" % number)
            expected[f"{number}"] = digest(b"%d" % number)
        arrives(account, expected)
        until(lambda: is_empty(site.root))
        assert daemon.stop() == 0
    assert (late / "kept").read_bytes() == b"for a while"
    assert account.sha256() == expected


def test_objects_carry_what_they_should(account, site_for):
    """Each object has the content type, the file's mtime in nanoseconds, our token and the configured metadata."""
    site = site_for(account)
    site.in_parts()
    site.destination["metadata"] = {"origin": "account a"}
    site.write()
    large = site.add("large.tar.gz", bytes(6 * MIB))
    for path, mtime_ns in ((site.add("small.json", b"{}"), 1_234_567_890_123_456_789), (large, -1_500_000_000)):
        os.utime(path, ns=(mtime_ns, mtime_ns))
    site.push()
    small, large_one = account.metadata("small.json"), account.metadata("large.tar.gz")
    assert small["mtime"] == "1234567890.123456789"
    assert large_one["mtime"] == "-1.500000000"
    assert small["origin"] == large_one["origin"] == "account a"
    assert len({small["crosshaul-token"], large_one["crosshaul-token"]}) == 2
    assert account.content_type("small.json") == "application/json"
    assert account.content_type("large.tar.gz") == "application/gzip"


def test_a_dry_run_sends_nothing(account, site_for):
    """A dry run prints each file's object, and neither sends nor records anything."""
    site = site_for(account, exclude=["*.tmp"])
    site.add("a", b"a")
    site.add("b.tmp", b"b")
    done = site.crosshaul("push", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{site.root}/a -> s3://{account.bucket}/a\n"
    assert account.sha256() == {}
    assert site.push().startswith("Delivered 1 file ")


def test_a_wrong_external_id_is_refused_in_one_line(account, site_for):
    """With a wrong or no external ID a push exits with 1 and a line that says who has to do what."""
    site = site_for(account)
    site.add("a", b"a")
    site.external_id_file.write_text("not-the-external-id")
    refused = [site.crosshaul("push")]
    del site.destination["external_id_file"]
    site.write()
    refused.append(site.crosshaul("push"))
    for done in refused:
        assert done.returncode == 1
        [line] = complaints(done.stderr)
        assert all(words in line for words in ("AssumeRole", "AccessDenied", "external ID")), line
        assert "not-the-external-id" not in done.stdout + done.stderr
    assert account.sha256() == {}


def test_a_wrong_external_id_at_start_can_be_fatal(account, site_for):
    """With --require-ready a refused daemon exits with 3 and one line."""
    site = site_for(account)
    site.external_id_file.write_text("not-the-external-id")
    with site.daemon("--require-ready") as daemon:
        assert daemon.wait() == 3
    [line] = daemon.complaints()
    assert "destination partner can't be used" in line
    assert "AccessDenied" in line
