"""Capabilities are saved in state_dir, and links are not followed."""

import os
from pathlib import Path

import pytest

from crosshaul.config import Destination
from crosshaul.errors import StateDirError
from crosshaul.journal import requeue, resend
from crosshaul.model import ChecksumKind
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.saved_capabilities import Capabilities, load, save

DESTINATION = Destination(name="d", bucket="bucket", region="us-east-1")
DETAILS = {"checksum": "CRC64NVME", "abort_allowed": False, "nonsense": 1}
SAVED = Capabilities(ChecksumKind.CRC64NVME, abort_allowed=False)


def found() -> Finding:
    return Finding("checksum", next(iter(Outcome)), "message", details=DETAILS)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


def test_what_was_learned_is_known_of_this_destination_alone(state: Path):
    """Saved capabilities are loaded for the same bucket only, and only the owner can read the file."""
    save(state, DESTINATION, [found()])
    assert load(state, DESTINATION) == SAVED
    assert load(state, DESTINATION.model_copy(update={"bucket": "another"})) == Capabilities()
    assert [(path.name, path.stat().st_mode & 0o777) for path in state.iterdir()] == [("capabilities.json", 0o600)]
    save(state / "none", DESTINATION, [found()])
    assert load(state / "none", DESTINATION) == Capabilities()


@pytest.mark.parametrize("name", ["capabilities.tmp", "capabilities.json"])
@pytest.mark.parametrize("hard", [False, True])
def test_a_link_in_its_place_is_not_written_through(state: Path, tmp_path: Path, name: str, *, hard: bool):
    """Neither a symlink nor a hard link under either name makes a check write to another file."""
    other = tmp_path / "shadow"
    other.write_text("secret")
    other.chmod(0o600)
    (state / name).hardlink_to(other) if hard else (state / name).symlink_to(other)
    save(state, DESTINATION, [found()])
    assert (other.read_text(), other.stat().st_mode & 0o777) == ("secret", 0o600)
    assert load(state, DESTINATION) == SAVED
    assert not (state / "capabilities.json").is_symlink()


def test_nothing_is_written_to_another_users_directory(state: Path, monkeypatch: pytest.MonkeyPatch):
    """A check by root writes nothing to a state_dir of another user."""
    monkeypatch.setattr(os, "geteuid", lambda: state.stat().st_uid + 1)
    save(state, DESTINATION, [found()])
    assert list(state.iterdir()) == []


def test_what_can_not_be_the_file_is_passed_over(state: Path):
    """A FIFO, a symlink and invalid JSON count as no capabilities, without blocking."""
    path = state / "capabilities.json"
    os.mkfifo(path)
    assert load(state, DESTINATION) == Capabilities()
    path.unlink()
    (state / "elsewhere").write_text('{"d": {}}')
    path.symlink_to(state / "elsewhere")
    assert load(state, DESTINATION) == Capabilities()
    path.unlink()
    path.write_bytes(b"\xff[")
    assert load(state, DESTINATION) == Capabilities()


def test_a_journal_that_is_a_link_is_not_opened_for_writing(state: Path, tmp_path: Path):
    """`crosshaul retry` and `resend` do not follow a link in place of the journal."""
    (tmp_path / "other.db").write_bytes(b"")
    (state / "journal.db").symlink_to(tmp_path / "other.db")
    with pytest.raises(StateDirError, match="symbolic link"):
        requeue(state, None)
    with pytest.raises(StateDirError, match="symbolic link"):
        resend(state, [])
    assert (tmp_path / "other.db").read_bytes() == b""
