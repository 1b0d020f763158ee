"""Measure the rate that SlowDown on 30 % of the calls leaves.

    python benchmarks/slow_down.py [FILES]

Three batches of small files, one after the other, through the real daemon to the strict partner account (each in a
process of its own on loopback, the account 30 ms away): in a calm, with 30 % of all PutObject calls answered 503
SlowDown, and in a calm again.
Prints files a second in the middle half of each batch, and the second as a share of what the server admits: 70 % of
the first.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time

from stage import Site, site

_REFUSED = 0.3
_AWAY = 0.03


def batch(running: Site, name: str, files: int) -> float:
    """Files a second, from a quarter to three quarters of the batch: the ends are set-up and waiting for the last."""
    heap = running.home / name
    heap.mkdir()
    for number in range(files):
        (heap / f"{number}").write_bytes(os.urandom(1000))
    heap.rename(running.root / name)
    end = time.monotonic() + 300
    while len(at := _delivered(running, name)) < files:
        if time.monotonic() > end:
            raise SystemExit(f"{name}: {len(at)} of {files} after five minutes")
        time.sleep(0.2)
    return (files // 2) / (at[3 * files // 4] - at[files // 4])


def _delivered(running: Site, name: str) -> list[float]:
    with sqlite3.connect(f"file:{running.home}/state/journal.db?mode=ro", uri=True) as journal:
        prefix = f"{name}/".encode()
        query = "SELECT delivered_at FROM files WHERE state = 'delivered' AND substr(path, 1, ?) = ? ORDER BY 1"
        return [at for (at,) in journal.execute(query, (len(prefix), prefix))]


def main(files: int) -> None:
    with site() as running:
        running.wait_for_event("started")
        running.fault("PutObject", "*", kind="delay", seconds=_AWAY)
        batch(running, "warm", 500)
        calm = batch(running, "calm", files)
        slow = {"kind": "error", "status": 503, "code": "SlowDown", "message": "Please reduce your request rate."}
        running.clear_faults()
        running.fault("PutObject", "*", probability=_REFUSED, **slow)
        running.fault("PutObject", "*", kind="delay", seconds=_AWAY)
        troubled = batch(running, "troubled", files)
        running.clear_faults()
        running.fault("PutObject", "*", kind="delay", seconds=_AWAY)
        again = batch(running, "again", files)
    admitted = (1 - _REFUSED) * calm
    print(f"calm {calm:.0f}/s; with SlowDown {troubled:.0f}/s, {troubled / admitted:.0%} of what is admitted;", end=" ")
    print(f"calm again {again:.0f}/s, {again / calm:.0%} of before")


if __name__ == "__main__":
    main(*(int(argument) for argument in [*sys.argv[1:], *["6000"][len(sys.argv) - 1 :]]))
