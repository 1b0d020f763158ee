"""The names in docs/ARCHITECTURE.md and docs/adr exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "daemon" / "crosshaul"
PAGES = [ROOT / "docs" / "ARCHITECTURE.md", *sorted((ROOT / "docs" / "adr").glob("*.md"))]
PATH = re.compile(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+(?:\.py|/))`")
MEMBER = re.compile(r"`([A-Z]\w+)\.([a-z_]+)`")
CLASS = re.compile(r"`([A-Z][a-z]\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_module_that_is_named_exists(page: Path) -> None:
    """Each path in backticks is a file or folder of the package or of the repository."""
    named = PATH.findall(page.read_text("utf-8"))
    assert [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []


def test_every_class_and_method_of_the_scan_exists() -> None:
    """Each `Class` and `Class.method` in backticks is defined in the package."""
    source = "\n".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py"))
    text = PAGES[0].read_text("utf-8")
    methods = set(re.findall(r"\bdef (\w+)\(", source))
    classes = set(re.findall(r"^class (\w+)", source, re.MULTILINE))
    others = {"AccessDenied", "NoSuchBucket", "SlowDown", "PutObject", "UploadPart"}
    assert {
        f"{owner}.{name}" for owner, name in MEMBER.findall(text) if owner not in classes or name not in methods
    } == set()
    assert {name for name in CLASS.findall(text) if name not in classes | others} == set()


def test_every_room_has_its_line() -> None:
    """The table of rooms lists each folder and module at the top of the package."""
    text = PAGES[0].read_text("utf-8")
    there = {
        f"{item.name}/" if item.is_dir() else item.name for item in PACKAGE.iterdir() if not item.name.startswith("_")
    }
    assert {name for name in there if f"`{name}`" not in text and name != "py.typed"} == set()
