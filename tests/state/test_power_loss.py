"""Power loss: unsynced writes are lost. No source is removed before its receipt is synced."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path
from random import Random

import pytest

from support.partner_fixtures import PartnerProcess
from support.system_fixtures import is_empty
from support.traced_disk import Disk, calls, removed, traced

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
TEARS = 3
"""Torn states tried at each sync, besides the one with nothing that was not synced."""


def receipts(state_dir: Path) -> set[bytes]:
    """Return the delivered files of a journal, which must be sound at any moment."""
    if not (state_dir / "journal.db").exists():
        return set()
    connection = sqlite3.connect(state_dir / "journal.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'files'").fetchall():
            return set()
        return {row[0] for row in connection.execute("SELECT path FROM files WHERE state = 'delivered'")}
    finally:
        connection.close()


def can_trace(home: Path) -> bool:
    return not subprocess.run(traced(home / "probe", ["true"]), capture_output=True, check=False).returncode


@pytest.mark.parametrize("after", ["delete", "move"])
def test_no_source_goes_before_its_receipt_is_synced(strict: PartnerProcess, site_for, tmp_path: Path, after: str):
    """At each sync and removal the journal, less what was unsynced, is sound and has each removed file's receipt.

    So it is with any part of the unsynced writes on the disk, too, in any order.
    """
    if not can_trace(tmp_path):
        pytest.skip("no process may be traced here")
    target = tmp_path / "moved"
    site = site_for(strict, after_upload="delete" if after == "delete" else {"move_to": str(target)})
    site.in_parts()
    strict.fault("delay", "PutObject", rule={"times": None, "probability": 0.5}, seconds=0.4)
    names = {f"{number:02}".encode() for number in range(24)} | {b"large"}
    for name in names:
        site.add(name.decode(), bytes(11 << 20) if name == b"large" else name)
    trace = tmp_path / "trace"
    done = subprocess.run(
        traced(trace, site._command("push")), env=site._env(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done
    assert is_empty(site.root)

    disk, chance = Disk(site.state_dir), Random(7)
    gone, known = set[bytes](), set[bytes]()
    for number, call in enumerate(calls(trace)):
        taken = removed(call, site.root)
        durable = disk.take(call)
        if taken is None and not durable:
            continue
        for tear in range(TEARS + 1 if durable else 1):
            left = tmp_path / f"left-{number}-{tear}"
            disk.leave(left, chance if tear else None)
            found = receipts(left)
            shutil.rmtree(left)
            assert found >= gone | known, "a receipt that was on disk is there no more"
            assert taken is None or taken in found, f"{taken!r} is taken away, and its receipt is not on disk"
            known = found if not tear else known
        if taken is not None:
            gone.add(taken)
    assert gone == names
    assert disk.syncs > 5
