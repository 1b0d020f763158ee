"""Journals of every past schema version: the present code opens them and delivers their files."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from crosshaul.config import load
from crosshaul.journal.sqlite import connect, rows
from crosshaul.journal.sqlite.migrate import migrations
from crosshaul.model import Fingerprint, Place
from support.partner_fixtures import PartnerProcess
from support.system_fixtures import sha256_of

MIB = 1 << 20
SCHEMAS = Path(__file__).parent / "schema"
VERSIONS = sorted(int(file.stem) for file in SCHEMAS.glob("*.sql"))
FILES = {
    "waiting": b"1", "under way": b"2", "in parts": bytes(7 * MIB), "restless": b"4", "sent": b"5", "set aside": b"6"
}  # fmt: skip


def made(version: int, database: Path, fingerprints: dict[str, str], place: Place | None = None) -> None:
    """Make a journal of that version, with the fingerprints and the place of existing files."""
    script = (SCHEMAS / f"{version:04}.sql").read_text()
    for name, text in fingerprints.items():
        script = script.replace(f"{{fingerprint of {name}}}", text)
    if place is not None:
        script = script.replace("{endpoint}", place.endpoint).replace("{bucket}", place.bucket)
    connection = sqlite3.connect(database)
    connection.executescript(script)
    connection.close()


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return sorted(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def test_there_is_a_journal_of_every_version():
    """Each migration has a journal of its version in tests/state/schema."""
    assert sorted(migrations()) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_migration_is_never_edited(tmp_path: Path, version: int):
    """The migrations up to a version give exactly the schema of its journals."""
    made(version, tmp_path / "old.db", {})
    fresh = sqlite3.connect(tmp_path / "fresh.db")
    for number in range(1, version + 1):
        fresh.executescript(migrations()[number])
    old = sqlite3.connect(tmp_path / "old.db")
    assert schema(old) == schema(fresh)
    assert old.execute("PRAGMA user_version").fetchone() == (version,)
    old.close()
    fresh.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_every_version_is_carried_through(strict: PartnerProcess, site_for, version: int):
    """Pending and uploading files are delivered, delivered ones are not sent again, quarantined ones stay so."""
    site = site_for(strict)
    site.in_parts()
    fingerprints = {"vanished": "1 2 3 4"}
    for name, data in FILES.items():
        found = site.add(name, data).stat()
        fingerprints[name] = rows.fingerprint_text(Fingerprint.of(found))
    site.state_dir.mkdir(mode=0o700)
    os.close(os.open(site.state_dir / connect.DATABASE, os.O_CREAT | os.O_WRONLY, 0o600))
    place = load(site.config_file).destinations["partner"].place
    made(version, site.state_dir / connect.DATABASE, fingerprints, place)
    done = site.crosshaul("push")
    assert (done.returncode, "set aside" in done.stderr) == (1, True), done
    states = {path: record["state"] for path, record in site.records().items()}
    assert states == dict.fromkeys(FILES, "delivered") | {"set aside": "quarantined", "vanished": "gone"}
    assert set(strict.objects()) == FILES.keys() - {"sent", "set aside"}
    assert site.crosshaul("retry").returncode == 0
    site.push()
    held = {key: each["sha256"] for key, each in strict.objects(sha256=True).items()}
    assert held == {name: digest for name, digest in sha256_of(site.root).items() if name != "sent"}
