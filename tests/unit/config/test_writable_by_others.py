"""Warnings about files that every user of the machine can change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crosshaul.config import files_writable_by_others, load


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "id").write_text("the-external-id")
    (tmp_path / "token").write_text("x" * 20)
    file = tmp_path / "config.yaml"
    destination = {
        "bucket": "partner-inbox",
        "role_arn": "arn:aws:iam::222222222222:role/r",
        "external_id_file": str(tmp_path / "id"),
    }
    config = {
        "state_dir": str(tmp_path / "state"),
        "destinations": {"p": destination},
        "routes": [{"name": "r", "path": str(tmp_path / "root")}],
        "http": {"token_file": str(tmp_path / "token")},
    }
    file.write_text(json.dumps(config))
    return file


def output(file: Path) -> list[str]:
    return files_writable_by_others(load(file, {}), file)


@pytest.mark.parametrize("name", ["config.yaml", "id", "token"])
def test_a_file_that_every_user_can_write_is_named(made: Path, name: str) -> None:
    """The configuration and each secret file that all users can write are reported with mode and command."""
    assert output(made) == []
    path = made.parent / name
    path.chmod(0o666)
    assert output(made) == [f"{path} can be changed by every user (mode 0666); run chmod o-w {path}"]


def test_a_directory_in_which_every_user_can_replace_it_is_named(made: Path) -> None:
    """A file in a directory that all users can write is reported, unless the directory is sticky, as /tmp is."""
    made.parent.chmod(0o777)
    assert all("can be replaced by every user" in line for line in output(made))
    assert len(output(made)) == 3
    made.parent.chmod(0o1777)
    assert output(made) == []


def test_what_is_not_there_is_reported_elsewhere(made: Path) -> None:
    """A missing file is not reported."""
    (made.parent / "id").unlink()
    assert output(made) == []
