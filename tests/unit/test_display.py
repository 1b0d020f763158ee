"""Text for people: file names, sizes, durations, times and counts."""

import os
import time

import pytest

from crosshaul import display
from crosshaul.display import printable


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 Bytes"), (0.4, "0 Bytes"), (1, "1 Byte"), (1023, "1023 Bytes"), (1024, "1.0 KiB")),
        *((36_175_872, "34.5 MiB"), (1024**6, "1.0 EiB")),
    ],
)
def test_sizes(count, text):
    """A size is in the largest binary unit that is not larger than it."""
    assert display.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1, "0 s"), (1, "1 s"), (1.24, "1.2 s"), (12.3, "12 s"), (59.7, "1 min"), (243, "4 min 3 s"), (3600, "1 h")),
        *((7500, "2 h 5 min"), (273_600, "3 d 4 h"), (400 * 86400, "400 d")),
    ],
)
def test_durations(seconds, text):
    """A duration has at most two units, and tenths of a second below ten seconds."""
    assert display.duration(seconds) == text


def test_a_duration_without_bounds():
    """A duration longer than a calendar is shown as 300 years."""
    assert display.duration(1e18) == display.duration(float("inf")) == "115740 d 17 h"


def test_moments():
    """A moment of today is a time of day; another has its date."""
    now = time.mktime((2026, 11, 23, 14, 3, 12, 0, 0, -1))
    assert display.moment(now, now) == "14:03:12"
    assert display.moment(now - 86400, now) == "2026-11-22 14:03:12"


@pytest.mark.parametrize(("number", "text"), [(1, "1st"), (3, "3rd"), (11, "11th"), (22, "22nd"), (111, "111th")])
def test_ordinals(number, text):
    """Ordinals are digits with the English ending."""
    assert display.ordinal(number) == text


def test_counts():
    """One is singular, and thousands are grouped."""
    assert (display.count(1, "file"), display.count(0, "file"), display.count(2000, "file")) == (
        "1 file",
        "0 files",
        "2,000 files",
    )


def test_names_can_not_command_the_terminal():
    """Control characters, direction marks and bytes that are not UTF-8 are shown escaped."""
    assert printable(b"a\nb\x1b[2J\xff\xc3\xa9\xe2\x80\xae") == "a\\nb\\x1b[2J\\xff\u00e9\\u202e"
    assert printable(os.fsdecode(b"\xff")) == "\\xff"


@pytest.mark.parametrize(
    "character", ["\u061c", "\u200b", "\u200d", "\ufeff", "\U000e0041", "\u3164", "\u2800", "\ufe0f", "\u202e"]
)
def test_invisible_characters_are_shown_escaped(character):
    """An invisible character is escaped, so that two names that differ look different."""
    shown = printable(f"a{character}b")
    assert shown != f"a{character}b"
    assert shown.isascii()
    assert printable("caf\u00e9 \u4e2d\u6587 \U0001f600") == "caf\u00e9 \u4e2d\u6587 \U0001f600"
