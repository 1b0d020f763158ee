"""Measure whether a failing destination, route or file delays the others.

    python benchmarks/isolation.py [PROBES] [BACKLOG]

Ten destinations. A file is renamed into a healthy route every tenth of a second, and the time until its receipt is on
disk is measured: with no fault; with one destination dead (connections hang), one route refused and one file refused
again and again; and with a backlog in another route of the same destination, and of another one. Runs the real daemon
against the strict partner account, each in a process of its own on loopback, so the CPU is shared by all.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from stage import Site, site

_DESTINATIONS = 10


def shape(config: dict[str, Any], home: Path) -> None:
    """A destination and a route for each of ten prefixes; ``d0`` has a second route."""
    partner = config["destinations"].pop("partner")
    config["routes"] = []
    config["retry"] = {"initial": "200ms", "max": "2s"}
    for name in [f"d{number}" for number in range(_DESTINATIONS)]:
        config["destinations"][name] = partner
        config["routes"].append(_route(home, name, name))
    config["routes"].append(_route(home, "neighbour", "d0"))


def _route(home: Path, name: str, destination: str) -> dict[str, Any]:
    (home / "root" / name).mkdir()
    return {"name": name, "path": f"{home}/root/{name}", "destination": destination, "key": f"{name}/{{path}}"}


def probe(running: Site, label: str, probes: int) -> list[float]:
    """Seconds from each rename into route ``d0`` to its receipt."""
    began = {}
    draft = running.home / "draft"
    for number in range(probes):
        draft.write_bytes(os.urandom(10_000))
        name = f"{label}-{number}"
        began[name] = time.time()
        draft.rename(running.root / "d0" / name)
        time.sleep(0.1)
    delivered = _delivered(running, began)
    return [delivered[name] - at for name, at in began.items()]


def _delivered(running: Site, names: dict[str, float]) -> dict[str, float]:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with sqlite3.connect(f"file:{running.home}/state/journal.db?mode=ro", uri=True) as journal:
            rows = journal.execute("SELECT path, delivered_at FROM files WHERE route = 'd0' AND state = 'delivered'")
            found = {os.fsdecode(path): at for path, at in rows}
        if names.keys() <= found.keys():
            return found
        time.sleep(0.2)
    raise SystemExit("the probes did not arrive within two minutes")


def say(label: str, took: list[float], calm: list[float]) -> None:
    """One line: median, 95th percentile, worst, and the ratio of medians."""
    ordered = sorted(took)
    ratio = statistics.median(took) / statistics.median(calm)
    median, late, worst = (1e3 * each for each in (statistics.median(took), ordered[-len(took) // 20], ordered[-1]))
    figures = f"median {median:5.0f} ms, p95 {late:5.0f} ms, worst {worst:5.0f} ms, median / calm {ratio:.2f}"
    print(f"{label:36} {figures}", flush=True)


def break_others(running: Site) -> None:
    """Make one destination hang, one route refused, and one file of the probed route fail for ever."""
    running.fault("PutObject", "d1/*", kind="stall", seconds=60, where="head")
    running.fault("PutObject", "d2/*", kind="error", status=403, code="AccessDenied", message="not here")
    running.fault("PutObject", "d0/poison", kind="error", status=500, code="InternalError", message="not this one")
    for route in ("d1", "d2"):
        for number in range(200):
            (running.root / route / f"{number}").write_bytes(b"x" * 10_000)
    (running.root / "d0" / "poison").write_bytes(b"x")
    time.sleep(3)


def backlog(running: Site, route: str, files: int) -> None:
    """Rename this many files into a route at once."""
    heap = running.home / f"heap-{route}"
    for number in range(files):
        directory = heap / f"{number // 1000}"
        if number % 1000 == 0:
            directory.mkdir(parents=True)
        (directory / f"{number}").touch()
    heap.rename(running.root / route / "heap")
    time.sleep(5)


def main(probes: int, files: int) -> None:
    with site(shape=shape) as running:
        running.wait_for_event("started")
        probe(running, "warm", 20)
        calm = probe(running, "calm", probes)
        say("calm", calm, calm)
        break_others(running)
        say("dead destination, route and file", probe(running, "faults", probes), calm)
        backlog(running, "d3", files)
        say(f"{files:,} files for another destination", probe(running, "other", probes), calm)
        backlog(running, "neighbour", files)
        say(f"{files:,} more in a neighbour route", probe(running, "neighbour", probes), calm)


if __name__ == "__main__":
    main(*(int(argument) for argument in [*sys.argv[1:], *["100", "200000"][len(sys.argv) - 1 :]]))
