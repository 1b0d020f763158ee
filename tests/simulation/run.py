"""Run many seeds, or replay one: ``python -m simulation.run --seeds 10000 [--first N] | --seed N``."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from simulation.world import Broken, World

_TAIL = 60


@dataclass(frozen=True)
class Played:
    """The outcome of a seed: its violations (empty: none), its trace, and its events."""

    seed: int
    wrong: str
    trace: list[str]
    counts: Counter[str] = field(default_factory=Counter)


def play(seed: int) -> Played:
    """Run the story of a seed."""
    world = World(seed)
    wrong = ""
    try:
        world.run()
    except Broken as error:
        wrong = str(error)
    except Exception as error:  # noqa: BLE001 - a crash of the simulation or of the product is a finding as well
        wrong = f"{type(error).__name__}: {error}"
    return Played(seed, wrong, world.trace, world.counts())


def play_many(seeds: range) -> tuple[list[Played], Counter[str]]:
    """Return the seeds that failed, and the events of all."""
    sys.unraisablehook = _hush
    broken, counts = [], Counter[str]()
    for number, seed in enumerate(seeds):
        played = play(seed)
        counts += played.counts
        if played.wrong:
            broken.append(played)
        if number % 50 == 0:
            gc.unfreeze()  # each life of the daemon freezes all objects, also those of earlier seeds
            gc.collect()
    return broken, counts


def _hush(_: object) -> None:
    """Silence the warnings of dead lives when they are collected."""


def _replay(seed: int) -> int:
    sys.unraisablehook = _hush
    played = play(seed)
    print(*played.trace, sep="\n")
    print(played.wrong or "it holds")
    return 1 if played.wrong else 0


def _run(first: int, seeds: int) -> int:
    began, workers = time.monotonic(), os.cpu_count() or 1
    stride = min(seeds, workers * 4)
    portions = [range(first + start, first + seeds, stride) for start in range(stride)]
    broken, counts = [], Counter[str]()
    with ProcessPoolExecutor(workers) as pool:
        for some, counted in pool.map(play_many, portions):
            broken += some
            counts += counted
    for played in sorted(broken, key=lambda one: one.seed):
        print(*played.trace[-_TAIL:], sep="\n")
        print(f"broken: {played.wrong}\nreplay: make simulate SEED={played.seed}\n")
    print(", ".join(f"{counts[what]:,} {what}" for what in sorted(counts)))
    print(f"{seeds:,} seeds, {len(broken)} broken, {time.monotonic() - began:.0f} s")
    return 1 if broken else 0


def main() -> int:
    """Return 1 if any seed failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, help="replay this one, and print its whole trace")
    options = parser.parse_args()
    return _run(options.first, options.seeds) if options.seed is None else _replay(options.seed)


if __name__ == "__main__":
    sys.exit(main())
