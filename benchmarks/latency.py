"""From a file's end to S3's word: 100 files a second into a watched directory, for three ways of ending a file.

    python benchmarks/latency.py [--seconds 20]

``quiet``: written and closed, at rest after settle.quiet. ``rename``: written under another name, then renamed into
place. ``close``: settle.close_write. The times are those of the writer's last call and of the sink's answer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from daemon_site import daemon
from measuring import SCRATCH, recorded
from sink import Sink, sink

QUIET = 1.0
RATE = 100


def write(root: Path, way: str, seconds: float) -> dict[str, float]:
    """Name -> when its writer let go of it."""
    ended, began = {}, time.time()
    for number in range(int(seconds * RATE)):
        time.sleep(max(0.0, began + number / RATE - time.time()))
        name = f"{way}-{number:06}"
        temporary = root.parent / "elsewhere" / name if way == "rename" else root / name
        with temporary.open("wb") as file:
            file.write(os.urandom(4096))
        if way == "rename":
            temporary.rename(root / name)
        ended[name] = time.time()
    return ended


def measure(way: str, store: Sink, seconds: float) -> dict[str, Any]:
    """One way of ending files; milliseconds."""
    home = SCRATCH / "latency"
    root = home / "root"
    shutil.rmtree(home, ignore_errors=True)
    root.mkdir(parents=True)
    (home / "elsewhere").mkdir()
    settle = {"quiet": f"{QUIET:g}s"} | ({"close_write": True} if way == "close" else {})
    store.reset()
    store.acknowledged()
    with daemon(root, SCRATCH / "home", store, {"route": {"settle": settle}}) as running:
        ended = write(root, way, seconds)
        running.wait_for(len(ended))
    answered = {path.rsplit("/", 1)[1]: at for path, at in store.acknowledged().items()}
    took = sorted((answered[name] - at) * 1000 - (QUIET * 1000 if way == "quiet" else 0) for name, at in ended.items())
    figures = {
        "files": len(took),
        "p50_ms": statistics.median(took),
        "p99_ms": took[int(len(took) * 0.99)],
        "max_ms": took[-1],
    }
    print(f"{way:7} {'beyond quiet ' if way == 'quiet' else ''}{figures}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with sink() as store, recorded("latency") as figures:
        for way in ("quiet", "rename", "close"):
            figures[way] = measure(way, store, options.seconds)


if __name__ == "__main__":
    main()
