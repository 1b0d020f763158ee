"""Local paths: their route, their name in it, and the object's address."""

import os
from dataclasses import replace
from pathlib import Path

import click
import pytest

from crosshaul.cli.paths import locate, place_of, url_of, url_of_record
from crosshaul.config import load
from crosshaul.model import Fingerprint, Place, Record, State
from support.cli_world import World


@pytest.fixture
def config(tmp_path):
    return load(World(tmp_path).config)


def test_a_path_belongs_to_the_longest_root(config, tmp_path):
    """Of nested routes the innermost one has the file."""
    inner = locate(config, tmp_path / "exports" / "inner" / "a")
    assert (inner.route.name, inner.relative) == ("inner", b"a")
    outer = locate(config, tmp_path / "exports" / "innermost" / "a")
    assert (outer.route.name, outer.relative) == ("exports", b"innermost/a")


def test_a_path_may_be_relative_or_by_a_link(config, tmp_path, monkeypatch):
    """Relative paths, ``..`` and another name of the directory give the same position."""
    monkeypatch.chdir(tmp_path / "exports")
    (tmp_path / "link").symlink_to(tmp_path / "exports")
    for path in ("a", "inner/../a", "../link/a", tmp_path / "link" / "a"):
        assert locate(config, Path(path)).relative == b"a"


def test_a_path_keeps_its_bytes(config, tmp_path):
    """A name that is not UTF-8 keeps its bytes."""
    place = locate(config, tmp_path / "exports" / os.fsdecode(b"caf\xe9"))
    assert place.relative == b"caf\xe9"
    assert place.absolute.endswith(b"/exports/caf\xe9")
    assert str(place).endswith("/exports/caf\\xe9")


def test_a_path_in_no_route_is_a_usage_error(config, tmp_path):
    """The error for a path in no route lists the watched directories."""
    with pytest.raises(click.UsageError, match=r"elsewhere is in no route. .* are: .*/exports \(exports\)"):
        locate(config, tmp_path / "elsewhere")


def test_records_of_former_routes_are_shown_as_they_are(config):
    """A record of a removed route or destination is shown with its recorded place, if it has one."""
    assert place_of(config, "former", b"a/b") == "a/b"
    assert url_of(config, "partner", "a/b") == "s3://partner-bucket/a/b"
    there = Record(
        1, "former", "former", b"a", Fingerprint(1, 1, 1, 1), "k", State.DELIVERED, 1, 0, 1.0, 1.0, 1.0,
        place=Place("https://minio", "inbox"),
    )  # fmt: skip
    assert url_of_record(there) == "s3://inbox/k"
    assert url_of_record(replace(there, place=None)) == "k in former (the bucket is not recorded)"
    assert url_of_record(replace(there, key="")) == "nowhere"
