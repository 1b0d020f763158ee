"""Measure the journal: ``python benchmarks/journal.py [FILES] [WAITERS]`` prints rows per second of each operation.

The state directory is made below the current directory, so that the disk is the one you stand on.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosshaul.concurrency.clock import SystemClock
from crosshaul.journal import Journal
from crosshaul.model import Checksum, ChecksumKind, Claim, Delivered, Fingerprint, Receipt, Settled, Sighting

ROUTE = "exports"
BATCH = 1000
CLAIMS = 256
SETTLED_AT_MOST = 50_000


@contextmanager
def timed(what: str, rows: int) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"{what:<34} {rows:>9,} rows {seconds:>8.2f} s {rows / seconds:>11,.0f} rows/s", flush=True)


def sightings(files: int) -> list[Sighting]:
    # As a scan yields them: directory by directory, and in no order within one.
    return [
        Sighting(ROUTE, b"some/directory/%04d/file-%03d.csv" % (i // 1000, i * 7919 % 1000), Fingerprint(4096, i, i, i))
        for i in range(files)
    ]


async def claim_all(journal: Journal, wanted: int) -> list[Claim]:
    found: list[Claim] = []
    while len(found) < wanted:
        found += await journal.claim([ROUTE], CLAIMS)
    return found


async def settle_all(journal: Journal, claims: list[Claim], waiters: int) -> None:
    receipt = Receipt("etag", 4096, time.time(), Checksum(ChecksumKind.CRC64NVME, "AAAAAAAAAAA="), "version", "request")
    queue = iter(claims)

    async def settle_some() -> None:
        for claim in queue:
            await journal.finish(claim, Delivered(receipt))

    async with asyncio.TaskGroup() as group:
        for _ in range(waiters):
            group.create_task(settle_some())


async def measure(state_dir: Path, files: int, waiters: int) -> None:
    seen = sightings(files)
    batches = [seen[start : start + BATCH] for start in range(0, files, BATCH)]
    journal = await Journal.open(state_dir, SystemClock())
    with timed("filter_changed (all new)", files):
        for batch in batches:
            await journal.filter_changed(ROUTE, batch)
    with timed("admit", files):
        for batch in batches:
            await journal.admit([Settled(one, "partner", one.path.decode()) for one in batch])
    with timed("filter_changed (none changed)", files):
        assert not [batch for batch in batches if any(await journal.filter_changed(ROUTE, batch))]
    moved = min(files, SETTLED_AT_MOST)
    with timed(f"claim ({CLAIMS} at once)", moved):
        claims = await claim_all(journal, moved)
    before = journal.commits
    with timed(f"settle ({waiters} waiting)", len(claims)):
        await settle_all(journal, claims, waiters)
    print(f"{'':<34} {journal.commits - before:>9,} commits")
    with timed("tallies, 100 times", 100):
        for _ in range(100):
            await journal.route_counts()
    await journal.close()


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    waiters = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="journal-bench-") as directory:
        asyncio.run(measure(Path(directory) / "state", files, waiters))
    print(f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB (the sightings included)")


if __name__ == "__main__":
    main()
