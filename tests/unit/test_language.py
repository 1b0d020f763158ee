"""Retired words do not come back (docs/GLOSSARY.md has the words in use)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HISTORY = ("CHANGELOG.md", "changes/", "tests/unit/test_language.py", "tests/state/schema/", "migrations/000")
"""Files that list retired words, or that must not change."""

IDENTIFIERS = (
    *("House", "furnish", "Herald", "Teller", "LastRound", "last_round", "Reloading", "made_from", "_Unheard"),
    *("Ladder", "rung", "DeafError", "InotifyEar", "Dialer", "WireError", "NonsenseError", "MOVES", "IllegalMove"),
    *("SenselessAnswer", "UnreadableAnswer", "UnprovenAnswer", "OtherBytes", "EndlessAnswer"),
    *("again_in_seconds", "in_a_row", "id_in_use", "present_ones_end_in_seconds", "may_be_one_file_s"),
    *("begun_no_more", "_mind_the_clock", "_doze", "_GLANCE", "unfamiliar", "widely", "unwalked"),
    *("walk_failed", "walk_recovered", "left_to_next_walk", "left_out_more", "http_trouble", "not_accepted"),
    *("file_changed_while_it_was_to_be_sent", "of_this_kind", "overwrites_another", "never_at_rest"),
    *("taken_while_changing", "keys_may_meet", "file_open_to_others"),
)
PROSE = (
    *("anew", "whoever", "be it", "at the most", "of late", "an affair", "was had", "nobody's affair"),
    *("is to become of", "what becomes of", "mend", "mended", "cure", "goes on", "go on", "going on"),
    *("is told", "are told", "was told", "by itself", "of which nothing", "in vain", "all the same", "as ever"),
    *("comes to rest", "come to rest", "came to rest", "put off", "puts off", "holds up no", "half and half"),
)


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    names = [name for name in listed.decode().split("\0") if name]
    suffixes = {".py", ".md", ".sql", ".yaml", ".toml", ".html", ".json", ".1", ".css", ".js", ".service"}
    return [ROOT / name for name in names if Path(name).suffix in suffixes and not any(old in name for old in HISTORY)]


@pytest.mark.parametrize(("words", "flags"), [(IDENTIFIERS, 0), (PROSE, re.IGNORECASE)], ids=["names", "prose"])
def test_retired_words_do_not_return(words: tuple[str, ...], flags: int) -> None:
    """No tracked file has a word that was retired."""
    files = _tracked()
    if not files:
        pytest.skip("this is no git checkout")
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", flags)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {match[0]}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1)
        for match in pattern.finditer(line)
    ]
    assert found == []


def test_docstrings_begin_with_what_a_thing_does_or_is() -> None:
    """No docstring begins with What, Who, Whether, How, Where or Why, except the texts of configuration keys.

    The texts of configuration keys are for people who look for "how long" and "how often".
    """
    opening = re.compile(r'"""(?:What|Who|Whose|Whether|How|Where|Why)\b')
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for folder in ("daemon", "tests", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        if file.parent.name != "config" and file.name != "test_language.py"
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if opening.search(line)
    ]
    assert found == []
