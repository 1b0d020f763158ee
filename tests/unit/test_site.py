"""The documentation site and the next release's notes can be built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every page is reached, and every link and anchor in it exists."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stdout + built.stderr) == (0, "")
    assert (tmp_path / "site" / "GLOSSARY" / "index.html").is_file()


def test_every_fragment_is_of_a_known_type() -> None:
    """`make changelog` takes each file in changes/."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "1.2.3"]
    drafted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert drafted.returncode == 0, drafted.stderr
    for fragment in (ROOT / "changes").glob("*.md"):
        kind = fragment.name.split(".")[-2]
        assert fragment.name == "README.md" or kind in {"added", "changed", "fixed", "removed", "security"}
