"""Words: sizes, spans, moments and numbers as people read them; and where a path belongs."""

import os
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest

from crosshaul.cli.paths import locate, place_of, url_of, url_of_record
from crosshaul.config import load
from crosshaul.display import printable
from crosshaul.model import Fingerprint, Place, Record, State
from crosshaul.telemetry import humanized
from support.cli_world import World


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (0.4, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (36_175_872, "34.5 MiB"), (1024**6, "1024.0 PiB")],
)
def test_sizes(count, told):
    """Sizes take the largest unit below them."""
    assert humanized.size(count) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        *((-1, "0.0 s"), (1.24, "1.2 s"), (12.3, "12 s"), (59.7, "1 min"), (243, "4 min 3 s"), (3600, "1 h")),
        *((7500, "2 h 5 min"), (273_600, "3 d 4 h")),
    ],
)
def test_durations(seconds, told):
    """Spans have two units at most, and tenths only where these matter."""
    assert humanized.duration(seconds) == told


def test_moments():
    """Today's moments are a time of day, others have their date."""
    now = time.mktime((2026, 11, 23, 14, 3, 12, 0, 0, -1))
    assert humanized.moment(now, now) == "14:03:12"
    assert humanized.moment(now - 86400, now) == "2026-11-22 14:03:12"


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, "first"), (3, "third"), (10, "tenth"), (11, "11th"), (12, "12th"), (22, "22nd"), (111, "111th")],
)
def test_ordinals(number, told):
    """Ordinals are words up to ten."""
    assert humanized.ordinal(number) == told


def test_counts():
    """One is singular, and thousands are grouped."""
    assert (humanized.count(1, "file"), humanized.count(0, "file"), humanized.count(2000, "file")) == (
        "1 file",
        "0 files",
        "2,000 files",
    )


def test_names_can_not_command_the_terminal():
    """Control characters, direction marks and bytes that are not UTF-8 are shown escaped."""
    assert printable(b"a\nb\x1b[2J\xff\xc3\xa9\xe2\x80\xae") == "a\\nb\\x1b[2J\\xff\u00e9\\u202e"
    assert printable(os.fsdecode(b"\xff")) == "\\xff"


@pytest.fixture
def config(tmp_path):
    return load(World(tmp_path).config)


def test_a_path_belongs_to_the_longest_root(config, tmp_path):
    """Of nested routes the inner one has the file."""
    inner = locate(config, tmp_path / "exports" / "inner" / "a")
    assert (inner.route.name, inner.relative) == ("inner", b"a")
    outer = locate(config, tmp_path / "exports" / "innermost" / "a")
    assert (outer.route.name, outer.relative) == ("exports", b"innermost/a")


def test_a_path_may_be_relative_or_by_a_link(config, tmp_path, monkeypatch):
    """Relative paths, ``..`` and another name of the directory all lead to the same place."""
    monkeypatch.chdir(tmp_path / "exports")
    (tmp_path / "link").symlink_to(tmp_path / "exports")
    for path in ("a", "inner/../a", "../link/a", tmp_path / "link" / "a"):
        assert locate(config, Path(path)).relative == b"a"


def test_a_path_keeps_its_bytes(config, tmp_path):
    """A name that is not UTF-8 comes through to the byte."""
    place = locate(config, tmp_path / "exports" / os.fsdecode(b"caf\xe9"))
    assert place.relative == b"caf\xe9"
    assert place.absolute.endswith(b"/exports/caf\xe9")
    assert str(place).endswith("/exports/caf\\xe9")


def test_a_path_in_no_route_is_a_usage_error(config, tmp_path):
    """Of a path elsewhere it is said which directories are watched."""
    with pytest.raises(click.UsageError, match=r"elsewhere is in no route. Watched are: .*/exports \(exports\)"):
        locate(config, tmp_path / "elsewhere")


def test_records_of_former_routes_are_shown_as_they_are(config):
    """Of routes and destinations that are no longer configured the record's own place is shown, if it has one."""
    assert place_of(config, "former", b"a/b") == "a/b"
    assert url_of(config, "partner", "a/b") == "s3://partner-bucket/a/b"
    there = Record(
        1, "former", "former", b"a", Fingerprint(1, 1, 1, 1), "k", State.DELIVERED, 1, 0, 1.0, 1.0, 1.0,
        place=Place("https://minio", "inbox"),
    )  # fmt: skip
    assert url_of_record(there) == "s3://inbox/k"
    assert url_of_record(replace(there, place=None)) == "k in former (which bucket that was is not recorded)"
    assert url_of_record(replace(there, key="")) == "nowhere"


@pytest.mark.parametrize(
    "character", ["\u061c", "\u200b", "\u200d", "\ufeff", "\U000e0041", "\u3164", "\u2800", "\ufe0f", "\u202e"]
)
def test_what_has_no_shape_is_shown_escaped(character):
    """Two names that look alike and are not are told apart: characters that are drawn as nothing are written out."""
    told = printable(f"a{character}b")
    assert told != f"a{character}b"
    assert told.isascii()
    assert printable("caf\u00e9 \u4e2d\u6587 \U0001f600") == "caf\u00e9 \u4e2d\u6587 \U0001f600"
