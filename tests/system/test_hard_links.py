"""Hard links and chmod, by the real command: delivered bytes are not sent again because of them."""

from __future__ import annotations

import os

import pytest

from support.partner_fixtures import PartnerProcess
from support.system_fixtures import sha256_of, until

LINKS = 30


def linked(site) -> None:
    """Make one file with many names, in several directories."""
    first = site.add("0/first", b"one file under many names" * 1000)
    for number in range(1, LINKS):
        (site.root / f"{number % 4}").mkdir(exist_ok=True)
        (site.root / f"{number % 4}/link-{number}").hardlink_to(first)


def written(strict: PartnerProcess) -> list[str]:
    """Return the keys of all writes; one refused probe of conditions per store is left out."""
    return sorted(call["key"] for call in strict.calls("PutObject") if call["status"] == 200)


@pytest.mark.parametrize("action", ["delete", "move"])
def test_each_hard_link_is_sent_once_and_goes(action: str, strict: PartnerProcess, site_for, tmp_path):
    """N names of a file cost N uploads, and all sources go, although each removal changes the others' ctime."""
    done = tmp_path / "done"
    site = site_for(strict, after_upload="delete" if action == "delete" else {"move_to": str(done)})
    linked(site)
    names = sha256_of(site.root).keys()
    with site.daemon() as daemon:
        until(lambda: not sha256_of(site.root))
        assert daemon.stop() == 0
    assert {key: held["size"] for key, held in strict.objects().items()} == dict.fromkeys(names, 25_000)
    assert written(strict) == sorted(names)
    assert {record["state"] for record in site.records().values()} == {"delivered"}
    if action == "move":
        assert sha256_of(done).keys() == names


def test_chmod_and_links_of_kept_files_send_nothing(strict: PartnerProcess, site_for):
    """After chmod -R and cp -l a push reads delivered files again, and sends only new names and changed bytes."""
    site = site_for(strict)
    files = [site.add(f"d/{number}", b"%d" % number * 500) for number in range(20)]
    site.push()
    strict.forget_calls()
    for file in files:
        file.chmod(0o640)
    assert site.push() == "Delivered 0 files; 20 were delivered before."
    assert strict.calls("PutObject") == strict.calls("CreateMultipartUpload") == []
    (site.root / "snapshot").mkdir()
    for file in files:
        (site.root / "snapshot" / file.name).hardlink_to(file)
    before = files[0].stat()
    with files[0].open("r+b") as forged:
        forged.write(b"X")
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    site.push()
    assert written(strict) == sorted(["d/0", *(f"snapshot/{number}" for number in range(20))])
    held = {key: each["sha256"] for key, each in strict.objects(sha256=True).items()}
    assert held == sha256_of(site.root)


def test_a_daemon_says_unchanged_and_not_delivered(strict: PartnerProcess, site_for):
    """Log and metrics count a file that was read again as unchanged; a kill before that causes no upload."""
    site = site_for(strict)
    file = site.add("a", b"a" * 5000)
    with site.daemon() as daemon:
        until(lambda: daemon.events("file_delivered"))
        assert daemon.stop() == 0
    strict.forget_calls()
    strict.fault("stall", "HeadObject", rule={"times": 1})
    file.chmod(0o640)
    with site.daemon() as daemon:
        until(lambda: strict.calls("HeadObject") or site.records()["a"]["state"] == "uploading")
        daemon.kill()
    strict.clear_faults()
    with site.daemon() as daemon:
        until(lambda: daemon.events("file_unchanged"))
        (output,) = daemon.events("file_unchanged")
        assert (output["path"], output["key"], output["bytes"], daemon.events("file_delivered")) == ("a", "a", 5000, [])
        assert daemon.stop() == 0
    assert strict.calls("PutObject") == []
