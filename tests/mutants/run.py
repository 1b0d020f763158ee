"""Apply each bug of ``bugs*.py`` to a copy of the package, and check that it is caught: ``run.py [words]``."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bugs import SIMULATION, Bug

_PROJECT = Path(__file__).parents[2]
_BUGS: list[Bug] = [
    bug for file in sorted(Path(__file__).parent.glob("bugs*.py")) for bug in importlib.import_module(file.stem).BUGS
]
_SEEDS = "500"
_PATIENCE = 900.0
"""Seconds; a bug that makes everything stand still is caught by that."""


def _command(catcher: str) -> list[str]:
    if catcher == SIMULATION:
        return [sys.executable, "-m", "simulation.run", "--seeds", _SEEDS]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not real", "--no-header", "--tb=line"]
    return [sys.executable, "-m", "pytest", *options, *catcher.split()]


def _fails(daemon: Path, catcher: str, scratch: Path) -> bool:
    path = os.pathsep.join([str(daemon), str(_PROJECT / "tests")])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}
    # A process group of its own, so that a time-out leaves no process behind.
    process = subprocess.Popen(
        _command(catcher), cwd=_PROJECT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return process.wait(_PATIENCE) != 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return True


def _with(bug: Bug | None, catcher: str) -> bool:
    """Return whether ``catcher`` fails on a copy of the package that has ``bug``."""
    with tempfile.TemporaryDirectory() as scratch:
        daemon = Path(scratch) / "daemon"
        shutil.copytree(_PROJECT / "daemon", daemon, ignore=shutil.ignore_patterns("__pycache__"))
        if bug is not None:
            _plant(bug, daemon / "crosshaul" / bug.file)
        return _fails(daemon, catcher, Path(scratch))


def _plant(bug: Bug, file: Path) -> None:
    text = file.read_text()
    for old, new in bug.edits:
        if text.count(old) != 1:
            raise SystemExit(f"{bug.file}: this text is there {text.count(old)} times, and must be once:\n{old}")
        text = text.replace(old, new)
    file.write_text(text)


def _try(bug: Bug) -> tuple[Bug, bool, float]:
    began = time.monotonic()
    return bug, _with(bug, bug.caught_by), time.monotonic() - began


def main() -> int:
    """Return 1 if a bug was not caught, or a catcher fails without a bug."""
    words = sys.argv[1:]
    chosen = [bug for bug in _BUGS if all(word in f"{bug.file} {bug.harm}" for word in words)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        catchers = sorted({bug.caught_by for bug in chosen})
        for catcher, fails in zip(catchers, pool.map(lambda one: _with(None, one), catchers), strict=True):
            if fails:
                print(f"{catcher} fails without any bug: what it catches proves nothing")
                return 1
        through = 0
        for bug, caught, seconds in pool.map(_try, chosen):
            through += not caught
            print(
                f"{'caught ' if caught else 'THROUGH'} {seconds:4.0f} s  {bug.file}: {bug.harm} ({bug.caught_by})",
                flush=True,
            )
    print(f"{len(chosen)} bugs, {through} got through")
    return 1 if through else 0


if __name__ == "__main__":
    sys.exit(main())
