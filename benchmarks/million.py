"""A million files: the first pass (rate, memory) beside one of 10,000, and the second, which finds nothing to do.

python benchmarks/million.py [--directories 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import MIB, SCRATCH, Work, once, recorded
from sink import Sink, sink
from tools import Cost, Job, Tool, aws_again, cost_of, crosshaul, rclone_again, run, session

SIZE = 100
_FEW = Work("10,000 files of 100 bytes", [(10_000, SIZE)])


def tree(directories: int) -> Path:
    """A thousand files in each directory, a hundred directories in each above."""
    root = SCRATCH / f"million-{directories}"
    for number in range(directories):
        path = root / f"{number // 100:02}" / f"{number:04}"
        if (path / "file-0999.csv").exists():
            continue
        path.mkdir(parents=True, exist_ok=True)
        for file in range(1000):
            (path / f"file-{file:04}.csv").write_bytes(bytes(SIZE))
    return root


def first(job: Job, work: Work) -> dict[str, Any]:
    """Measure a pass over new files."""
    cost, wrong = once(crosshaul, job, work)
    return _told(f"first pass, {work.count:,} files", cost, wrong, rate=work.count / cost.seconds)


def again(name: str, rounds: int, begin: Callable[[], Cost]) -> dict[str, Any]:
    """Measure passes over unchanged files: the median of ``rounds``."""
    costs = [begin() for _ in range(rounds)]
    middle = statistics.median_low(cost.seconds for cost in costs)
    cost = next(each for each in costs if each.seconds == middle)
    return _told(f"second pass by {name}", cost, [f"exit code {each.code}" for each in costs if each.code])


def _told(what: str, cost: Cost, wrong: list[str], **more: float) -> dict[str, Any]:
    rate = "".join(f", {value:,.0f} files/s" for value in more.values())
    print(
        f"{what}: {cost.seconds:.1f} s{rate}, CPU {cost.cpu:.1f} s, {cost.rss / MIB:.0f} MiB {'; '.join(wrong)}",
        flush=True,
    )
    return {"seconds": cost.seconds, "cpu": cost.cpu, "rss_mib": cost.rss / MIB, "wrong": wrong, **more}


def push_again(job: Job) -> Cost:
    """Push again with the journal of the first pass."""
    command, told = crosshaul(job)
    return cost_of(command, session() | told, job.home / "output")


def find(job: Job) -> Cost:
    """Scan and get the state of each file: the reference for the measurement."""
    command = ["find", str(job.source), "-printf", "%s %T@ %i %p\\n"]
    return cost_of(command, {}, job.home.parent / "found")


def by_peer(tool: Tool, job: Job) -> Cost:
    """Run another tool, which lists the bucket."""
    return run(tool, replace(job, home=job.home.parent / "peer"))


def measure(store: Sink, directories: int, rounds: int, figures: dict[str, Any]) -> None:
    root = tree(directories)
    job = Job(root, SCRATCH / "million-home", store, tls=True, large=False)
    few = replace(job, source=_FEW.tree(), home=SCRATCH / "home")
    figures["few"] = first(few, _FEW)
    figures["first"] = first(job, Work("a million", [(1000 * directories, SIZE)]))
    figures["few again"] = first(few, _FEW)
    figures["find"] = again("find", rounds, lambda: find(job))
    figures["crosshaul"] = again("crosshaul", rounds, lambda: push_again(job))
    store.list_million(directories)
    for name, tool in (("rclone", rclone_again), ("aws s3 sync", aws_again)):
        figures[name] = again(name, 1, lambda tool=tool: by_peer(tool, job))
        uploaded = store.counters()["objects"]
        if uploaded:
            figures[name]["wrong"].append(f"{uploaded} files were sent again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directories", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with sink() as store, recorded("million") as figures:
        measure(store, options.directories, options.rounds, figures)


if __name__ == "__main__":
    main()
