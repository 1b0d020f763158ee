"""The words that the project gave up do not come back (docs/GLOSSARY.md has the ones in use)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HISTORY = ("CHANGELOG.md", "changes/", "tests/unit/test_language.py", "tests/state/schema/", "migrations/000")
"""Files that have to name what was retired, or that are as they were then."""

IDENTIFIERS = (
    *("House", "furnish", "Herald", "Teller", "LastRound", "last_round", "Reloading", "made_from", "_Unheard"),
    *("Ladder", "rung", "DeafError", "InotifyEar", "Dialer", "WireError", "NonsenseError", "MOVES", "IllegalMove"),
    *("SenselessAnswer", "UnreadableAnswer", "UnprovenAnswer", "OtherBytes", "EndlessAnswer"),
    *("again_in_seconds", "in_a_row", "id_in_use", "present_ones_end_in_seconds", "may_be_one_file_s"),
    *("begun_no_more", "_mind_the_clock", "_doze", "_GLANCE", "unfamiliar", "widely"),
)
PROSE = (
    *("anew", "whoever", "be it", "at the most", "of late", "an affair", "was had", "nobody's affair"),
    *("is to become of", "what becomes of", "mend"),
)


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    names = [name for name in listed.decode().split("\0") if name]
    suffixes = {".py", ".md", ".sql", ".yaml", ".toml", ".html", ".json", ".1", ".css", ".js", ".service"}
    return [ROOT / name for name in names if Path(name).suffix in suffixes and not any(old in name for old in HISTORY)]


@pytest.mark.parametrize("words", [IDENTIFIERS, PROSE], ids=["names", "prose"])
def test_retired_words_do_not_return(words: tuple[str, ...]) -> None:
    """No tracked file has a word that was retired."""
    files = _tracked()
    if not files:
        pytest.skip("this is no git checkout")
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)")
    found = [
        f"{file.relative_to(ROOT)}:{number}: {match[0]}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1)
        for match in pattern.finditer(line)
    ]
    assert found == []


def test_docstrings_begin_with_what_a_thing_does_or_is() -> None:
    """No docstring of the package begins with What, Who, Whether, How, Where or Why; a key's text may.

    The texts of configuration keys are for people who look for "how long" and "how often".
    """
    opening = re.compile(r'"""(?:What|Who|Whose|Whether|How|Where|Why)\b')
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in (ROOT / "daemon").rglob("*.py")
        if file.parent.name != "config"
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if opening.search(line)
    ]
    assert found == []
