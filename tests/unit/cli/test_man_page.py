"""man/crosshaul.1 is generated from the verbs' help, has valid source, and is installed."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from support.man_page import PAGE, page

REPOSITORY = PAGE.parents[1]
CHECKERS = [["mandoc", "-T", "lint"], ["groff", "-man", "-ww", "-z"]]


def test_the_page_is_what_the_verbs_say():
    """The page matches the verbs' help; tests/support/man_page.py generates it."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("checker", CHECKERS, ids=[checker[0] for checker in CHECKERS])
def test_formatters_find_no_fault_in_it(checker):
    """Neither mandoc's linter nor groff has a warning."""
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not there")
    done = subprocess.run([*checker, str(PAGE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not there")
def test_man_shows_examples_as_they_are_typed():
    """Examples keep their dashes and quotes, so that they can be copied into a shell."""
    shown = subprocess.run(
        ["man", "-l", str(PAGE)], capture_output=True, text=True, check=True, env={**os.environ, "MANWIDTH": "100"}
    ).stdout
    assert "crosshaul list --json | jq -r 'select(.size > 1e9) | .path'" in shown


def test_wheel_and_sdist_carry_it(tmp_path):
    """Wheels built from the tree and from the sdist have the page in share/man/man1."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path), "-t", "sdist", "-t", "wheel"]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as found:
        assert [name for name in found.namelist() if name.endswith(".data/data/share/man/man1/crosshaul.1")]
    with tarfile.open(sdist) as found:
        assert {Path(name).name for name in found.getnames()} >= {"crosshaul.1", "crosshaul.service", "pyproject.toml"}
