"""A damaged, deleted or replaced journal: one line says so, and the recovery loses nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from random import Random

import pytest

from crosshaul.errors import JournalDamagedError, JournalMovedError, StateDirError
from crosshaul.journal import Journal, Reader
from crosshaul.journal.sqlite import connect
from crosshaul.model import State
from support.journal_samples import DONE, ROUTE, TOO_LONG, settled
from support.partner_fixtures import PartnerProcess
from support.system_fixtures import sha256_of, until
from support.virtual_time import ManualClock

FILES = {b"%06d" % number for number in range(1500)}
PAGE = 4096


async def filled(state_dir: Path) -> Path:
    """Make a journal with many pages: some files delivered, the others pending."""
    journal = await Journal.open(state_dir, ManualClock())
    await journal.admit([settled(path) for path in sorted(FILES)])
    for claim in await journal.claim([ROUTE], 300):
        await journal.finish(claim, DONE)
    await journal.close()
    return state_dir / connect.DATABASE


async def claimed_in_all(state_dir: Path) -> set[bytes]:
    """Return the files that a daemon would send from this journal, and those that count as delivered."""
    journal = await Journal.open(state_dir, ManualClock())
    try:
        found = {claim.path for claim in await journal.claim([ROUTE], 10 * len(FILES))}
        for path in FILES - found:
            record = await journal.find(ROUTE, path)
            if record is not None and record.state is State.DELIVERED:
                found.add(path)
        return found
    finally:
        await journal.close()


async def refusal_of(state_dir: Path) -> str:
    """Return the line that refuses a damaged journal; empty if it opens, and then it has every file."""
    try:
        found = await claimed_in_all(state_dir)
    except StateDirError as error:
        return str(error)
    assert found == FILES, f"{state_dir}: {len(FILES - found)} files went amiss in silence"
    return ""


def flipped(pristine: bytes, at: int, length: int) -> bytes:
    return pristine[:at] + bytes(each ^ 0xFF for each in pristine[at : at + length]) + pristine[at + length :]


@pytest.mark.timeout(300)
async def test_a_flipped_page_is_reported_or_harmless(tmp_path: Path) -> None:
    """For each flipped page the start refuses the journal and says what to do, or works with all files."""
    database = await filled(tmp_path / "pristine")
    pristine = database.read_bytes()
    pages = len(pristine) // PAGE
    output = 0
    for page in [*range(10), *range(10, pages, max(1, pages // 30))]:
        hurt = tmp_path / f"page-{page}"
        hurt.mkdir(mode=0o700)
        (hurt / connect.DATABASE).write_bytes(flipped(pristine, page * PAGE, PAGE))
        refusal = await refusal_of(hurt)
        if refusal:
            output += 1
            assert "Restore it from a backup, or move it away" in refusal
            assert (hurt / connect.DATABASE).read_bytes() == flipped(pristine, page * PAGE, PAGE)
    assert output > 30


@pytest.mark.parametrize("at", [0, 16, 18, 24, 28, 52, 56, 60, 96, 100, 103, 105])
async def test_a_flipped_byte_of_the_header_is_reported_or_harmless(tmp_path: Path, at: int) -> None:
    """A flipped byte of the header or the first page is refused in one line, or has no effect."""
    database = await filled(tmp_path / "state")
    database.write_bytes(flipped(database.read_bytes(), at, 1))
    refusal = await refusal_of(tmp_path / "state")
    assert not refusal or str(database) in refusal


async def test_a_flipped_byte_anywhere_is_no_surprise(tmp_path: Path) -> None:
    """For a flipped byte at each of 80 places there is one line about the journal, or it works."""
    database = await filled(tmp_path / "pristine")
    pristine, chance = database.read_bytes(), Random(5)
    state_dir = tmp_path / "hurt"
    state_dir.mkdir(mode=0o700)
    output = 0
    for _ in range(80):
        for each in state_dir.glob("journal.db*"):
            each.unlink()
        (state_dir / connect.DATABASE).write_bytes(flipped(pristine, chance.randrange(len(pristine)), 1))
        try:
            await claimed_in_all(state_dir)
        except StateDirError:
            output += 1
    assert output > 10


async def test_a_record_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    """Every reader reports an impossible value as damage: the claim, and other processes."""
    database = await filled(tmp_path / "state")
    connection = sqlite3.connect(database)
    connection.execute("UPDATE files SET fingerprint = replace(fingerprint, ' ', '!')")
    connection.commit()
    connection.close()
    with pytest.raises(JournalDamagedError, match="makes no sense"):
        await claimed_in_all(tmp_path / "state")
    with Reader.open(tmp_path / "state") as reader, pytest.raises(JournalDamagedError, match="makes no sense"):
        list(reader.records())


async def test_a_flipped_byte_of_the_log_costs_the_last_commits_at_most(tmp_path: Path) -> None:
    """A flip in the -wal after a crash loses the commits after it, and none before."""
    journal = await Journal.open(tmp_path / "alive", ManualClock())
    await journal.admit([settled(b"early")])
    early = len((tmp_path / "alive" / "journal.db-wal").read_bytes().rstrip(b"\0"))  # the rest is preallocated
    await journal.admit([settled(b"late")])
    dead = tmp_path / "dead"
    shutil.copytree(tmp_path / "alive", dead)
    await journal.close()
    log = dead / "journal.db-wal"
    log.write_bytes(flipped(log.read_bytes(), early + 100, 50))
    again = await Journal.open(dead, ManualClock())
    assert await again.find(ROUTE, b"early") is not None
    assert await again.find(ROUTE, b"late") is None
    await again.close()


async def test_an_index_that_lacks_a_file_is_damage(tmp_path: Path) -> None:
    """The start detects an index that lacks a file, which would never be found otherwise."""
    database = await filled(tmp_path / "state")
    journal = await Journal.open(tmp_path / "state", ManualClock())
    await journal.admit([settled(b"set aside", refusal=TOO_LONG)])
    await journal.close()
    connection = sqlite3.connect(database)
    number = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'files_rare'").fetchone()[0]
    connection.close()
    content = bytearray(database.read_bytes())
    start = (number - 1) * PAGE
    cells = int.from_bytes(content[start + 3 : start + 5], "big")
    content[start + 3 : start + 5] = (cells - 1).to_bytes(2, "big")
    database.write_bytes(content)
    with pytest.raises(JournalDamagedError, match="it is damaged"):
        await claimed_in_all(tmp_path / "state")


async def test_nothing_is_written_to_a_journal_that_lost_its_name(tmp_path: Path) -> None:
    """After the deletion or replacement of the open journal the next write fails, and the new file is not touched."""
    for name, replace in (("deleted", False), ("replaced", True)):
        state_dir = tmp_path / name
        journal = await Journal.open(state_dir, ManualClock())
        await journal.admit([settled(b"before")])
        for each in state_dir.glob("journal.db*"):
            each.unlink()
        if replace:
            database = await filled(tmp_path / "other")
            for each in database.parent.glob("journal.db*"):
                shutil.copy2(each, state_dir)
        before = {each.name: each.read_bytes() for each in state_dir.glob("journal.db*")}
        with pytest.raises(JournalMovedError, match="deleted or replaced while it was in use"):
            await journal.admit([settled(b"after")])
        assert journal.last_error is not None
        await journal.close()
        assert {each.name: each.read_bytes() for each in state_dir.glob("journal.db*")} == before


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_daemon_whose_journal_is_taken_away_ends_and_its_next_start_repairs_it(
    strict: PartnerProcess, site_for, replaced: bool
):
    """Without its journal even an idle daemon exits with 1 and one line; the next start sends nothing again."""
    site = site_for(strict)
    for number in range(5):
        site.add(f"{number}", b"%d" % number)
    site.push()
    backup = site.home / "backup.db"
    shutil.copy2(site.state_dir / "journal.db", backup)
    site.add("later", b"after the backup")
    with site.daemon() as daemon:
        until(lambda: "later" in strict.objects() and daemon.events("file_delivered"))
        for each in site.state_dir.glob("journal.db*"):
            each.unlink()
        if replaced:
            shutil.copy2(backup, site.state_dir / "journal.db")
        site.add("last", b"while it is gone")
        assert daemon.wait() == 1
        [line] = daemon.complaints()
        assert "deleted or replaced while it was in use" in line
    with site.daemon() as daemon:
        until(lambda: "last" in strict.objects())
        until(lambda: site.status()["delivered"] == 7)
        assert daemon.stop() == 0
    objects = strict.objects(sha256=True)
    assert {key: each["sha256"] for key, each in objects.items()} == sha256_of(site.root)
    assert {key: each["writes"] for key, each in objects.items() if key != "last"} == dict.fromkeys(
        objects.keys() - {"last"}, 1
    )


def test_a_journal_damaged_under_the_daemon_ends_it_and_the_documented_way_back_works(strict: PartnerProcess, site_for):
    """The code is 2 with a line that says to move the journal away; after that all files are recognised."""
    site = site_for(strict)
    for number in range(300):
        site.add(f"{number:04}", b"%d" % number)
    site.push()
    database = site.state_dir / "journal.db"
    with database.open("r+b") as file:
        file.seek(PAGE)
        file.write(os.urandom(database.stat().st_size - PAGE))
    site.add("new", b"1")
    for verb in ("run", "push", "status"):
        done = site.crosshaul(verb)
        [line] = done.stderr.splitlines()
        assert (done.returncode, "it is damaged" in line, "move it away" in line) == (2, True, True), line
    database.rename(site.home / "damaged.db")
    site.push()
    objects = strict.objects(sha256=True)
    assert {key: each["sha256"] for key, each in objects.items()} == sha256_of(site.root)
    assert {each["writes"] for each in objects.values()} == {1}


def test_damage_that_shows_while_it_runs_ends_the_daemon(strict: PartnerProcess, site_for):
    """A page that becomes bad under a running daemon ends it with code 2 and one line."""
    site = site_for(strict)
    for number in range(300):
        site.add(f"{number:04}", b"%d" % number)
    site.push()
    database = site.state_dir / "journal.db"
    with site.daemon() as daemon:
        with database.open("r+b") as file:
            file.seek(PAGE)
            file.write(os.urandom(database.stat().st_size - PAGE))
        for number in range(300):
            site.add(f"new-{number:04}", b"%d" % number)
        assert daemon.wait() == 2
        lines = daemon.complaints()
        assert len(lines) == 1
        assert "it is damaged" in lines[0]
