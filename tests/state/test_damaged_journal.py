"""A journal that is damaged, deleted or replaced: it is said in a line, and nothing is lost on the way back."""

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
from support.journal_samples import DONE, ROUTE, TOO_LONG, TurnableClock, settled
from support.partner_fixtures import PartnerProcess
from support.system_fixtures import sha256_of, until

FILES = {b"%06d" % number for number in range(1500)}
PAGE = 4096


async def filled(state_dir: Path) -> Path:
    """A journal with many pages: some files delivered, the others waiting."""
    journal = await Journal.open(state_dir, TurnableClock())
    await journal.admit([settled(path) for path in sorted(FILES)])
    for claim in await journal.claim([ROUTE], 300):
        await journal.finish(claim, DONE)
    await journal.close()
    return state_dir / connect.DATABASE


async def claimed_in_all(state_dir: Path) -> set[bytes]:
    """What a daemon would get to send out of this journal, and what it holds to be delivered."""
    journal = await Journal.open(state_dir, TurnableClock())
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
    """The line with which a hurt journal is refused; empty if it opens, and then it knows every file."""
    try:
        found = await claimed_in_all(state_dir)
    except StateDirError as error:
        return str(error)
    assert found == FILES, f"{state_dir}: {len(FILES - found)} files went amiss in silence"
    return ""


def flipped(pristine: bytes, at: int, length: int) -> bytes:
    return pristine[:at] + bytes(each ^ 0xFF for each in pristine[at : at + length]) + pristine[at + length :]


@pytest.mark.timeout(300)
async def test_a_flipped_page_is_told_or_harmless(tmp_path: Path) -> None:
    """Each page of the journal, flipped whole: the start refuses it and says what to do, and no file goes amiss."""
    database = await filled(tmp_path / "pristine")
    pristine = database.read_bytes()
    pages = len(pristine) // PAGE
    told = 0
    for page in [*range(10), *range(10, pages, max(1, pages // 30))]:
        hurt = tmp_path / f"page-{page}"
        hurt.mkdir(mode=0o700)
        (hurt / connect.DATABASE).write_bytes(flipped(pristine, page * PAGE, PAGE))
        refusal = await refusal_of(hurt)
        if refusal:
            told += 1
            assert "Restore it from a backup, or move it away" in refusal
            assert (hurt / connect.DATABASE).read_bytes() == flipped(pristine, page * PAGE, PAGE)
    assert told > 30


@pytest.mark.parametrize("at", [0, 16, 18, 24, 28, 52, 56, 60, 96, 100, 103, 105])
async def test_a_flipped_byte_of_the_header_is_told_or_harmless(tmp_path: Path, at: int) -> None:
    """One byte of the database's header, or of its first page's: refused in one line, or without any effect."""
    database = await filled(tmp_path / "state")
    database.write_bytes(flipped(database.read_bytes(), at, 1))
    refusal = await refusal_of(tmp_path / "state")
    assert not refusal or str(database) in refusal


async def test_a_flipped_byte_anywhere_is_no_surprise(tmp_path: Path) -> None:
    """One byte of the journal, at 80 places: whatever it means, the answer is one line about the journal, or work."""
    database = await filled(tmp_path / "pristine")
    pristine, chance = database.read_bytes(), Random(5)
    state_dir = tmp_path / "hurt"
    state_dir.mkdir(mode=0o700)
    told = 0
    for _ in range(80):
        for each in state_dir.glob("journal.db*"):
            each.unlink()
        (state_dir / connect.DATABASE).write_bytes(flipped(pristine, chance.randrange(len(pristine)), 1))
        try:
            await claimed_in_all(state_dir)
        except StateDirError:
            told += 1
    assert told > 10


async def test_a_record_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    """A value that rotted is told as damage by every reader: the claim, and those who look from outside."""
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
    """After a crash the newest commits are in the -wal: a flip there takes back what came after, and nothing before."""
    journal = await Journal.open(tmp_path / "alive", TurnableClock())
    await journal.admit([settled(b"early")])
    early = len((tmp_path / "alive" / "journal.db-wal").read_bytes().rstrip(b"\0"))  # the rest is room for later
    await journal.admit([settled(b"late")])
    dead = tmp_path / "dead"
    shutil.copytree(tmp_path / "alive", dead)
    await journal.close()
    log = dead / "journal.db-wal"
    log.write_bytes(flipped(log.read_bytes(), early + 100, 50))
    again = await Journal.open(dead, TurnableClock())
    assert await again.find(ROUTE, b"early") is not None
    assert await again.find(ROUTE, b"late") is None
    await again.close()


async def test_an_index_that_lacks_a_file_is_damage(tmp_path: Path) -> None:
    """A file that an index of its state doesn't know would never be found again: the start finds that out."""
    database = await filled(tmp_path / "state")
    journal = await Journal.open(tmp_path / "state", TurnableClock())
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
    """Deleted or replaced while it is open: the next write fails with a line, and the new file is not touched."""
    for name, replace in (("deleted", False), ("replaced", True)):
        state_dir = tmp_path / name
        journal = await Journal.open(state_dir, TurnableClock())
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
def test_a_daemon_whose_journal_is_taken_away_ends_and_its_next_start_mends_it(
    strict: PartnerProcess, site_for, replaced: bool
):
    """Code 1 and one line, as an idle daemon, too; the next start sends nothing again and loses nothing."""
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
    """Code 2 and a line that says to move it away; status, run and push say the same; moved, all is recognised."""
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
    """A page that goes bad under a running daemon: code 2 and one line, rather than an endless row of failures."""
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
