"""Measure the time from a writer's last act to the receipt, by the sign that ends the wait.

    python benchmarks/closing.py [FILES]

One daemon, three routes to one destination, 10 kB files a tenth of a second apart: renamed into place; written in place
where the route has `close_write`; written in place and left to `quiet` (2 s). From the close or rename to the receipt.
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

_QUIET = 2.0
_WAYS = {"rename": {}, "close_write": {"close_write": True}, "quiet": {}}


def shape(config: dict[str, Any], home: Path) -> None:
    """Return a route for each way of ending a file."""
    config["routes"] = []
    for name, more in _WAYS.items():
        (home / "root" / name).mkdir()
        path, settle = f"{home}/root/{name}", {"quiet": f"{_QUIET:g}s", **more}
        route = {"name": name, "path": path, "destination": "partner", "key": f"{name}/{{path}}", "settle": settle}
        config["routes"].append(route)


def write(running: Site, way: str, name: str) -> float:
    """Write a file in one of the ways; return when its writer ended."""
    target = running.root / way / name
    path = running.home / "draft" if way == "rename" else target
    path.write_bytes(os.urandom(10_000))
    done = time.time()
    if way == "rename":
        path.rename(target)
    return done


def receipts(running: Site) -> dict[tuple[str, str], float]:
    """Return the delivery time of each file."""
    with sqlite3.connect(f"file:{running.home}/state/journal.db?mode=ro", uri=True) as journal:
        rows = journal.execute("SELECT route, path, delivered_at FROM files WHERE state = 'delivered'")
        return {(route, os.fsdecode(path)): at for route, path, at in rows}


def main() -> None:
    """Write, wait, and print a line for each way."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with site(shape=shape) as running:
        write(running, "rename", "warm")
        running.wait_for(1)
        done = {}
        for number in range(files):
            for way in _WAYS:
                done[way, f"{number}"] = write(running, way, f"{number}")
                time.sleep(0.1 / len(_WAYS))
        running.wait_for(1 + len(done))
        time.sleep(1)
        found = receipts(running)
    for way in _WAYS:
        took = sorted(1e3 * (found[name] - at) for name, at in done.items() if name[0] == way)
        print(f"{way:12} median {statistics.median(took):6.0f} ms, p99 {took[int(len(took) * 0.99)]:6.0f} ms")


if __name__ == "__main__":
    main()
