"""Shared parts of the comparisons: data, rounds in turn, medians, and the files of the figures."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sink import Sink
from tools import TOOLS, Cost, Job, Tool, run

SCRATCH = Path(os.environ.get("CROSSHAUL_BENCH_DIR", "/tmp/crosshaul-bench"))
RESULTS = Path(__file__).parent / "results"
MIB = 1 << 20


@dataclass(frozen=True)
class Work:
    """A tree of files: (number of files, bytes of each), and True for large ones."""

    name: str
    files: Sequence[tuple[int, int]]
    large: bool = False

    @property
    def count(self) -> int:
        """The number of files."""
        return sum(count for count, _ in self.files)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(count * size for count, size in self.files)

    def tree(self) -> Path:
        """Return the tree, created if missing; small files by 500 to a directory."""
        root = SCRATCH / self.name.replace(" ", "-")
        if not (root.parent / f"{root.name}.made").exists():
            shutil.rmtree(root, ignore_errors=True)
            for group, (count, size) in enumerate(self.files):
                for number in range(count):
                    _make(root / f"{group}-{number // 500:04}" / f"file-{number:07}.bin", size)
            os.sync()
            (root.parent / f"{root.name}.made").touch()
        return root


def _make(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(min(size, MIB))
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(block[: size - start])


@dataclass
class Figures:
    """The results of one tool's rounds."""

    costs: list[Cost] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Files that did not arrive correctly."""

    def summary(self, work: Work) -> dict[str, Any]:
        """Medians, and the spread of the rate from the least to the most."""
        rates = [work.count / cost.seconds for cost in self.costs]
        return {
            "objects_per_second": statistics.median(rates),
            "slowest": min(rates),
            "fastest": max(rates),
            "mb_per_second": statistics.median(work.size / cost.seconds / 1e6 for cost in self.costs),
            "cpu_seconds": statistics.median(cost.cpu for cost in self.costs),
            "cpu_us_per_object": statistics.median(cost.cpu / work.count * 1e6 for cost in self.costs),
            "peak_rss_mib": max(cost.rss for cost in self.costs) / MIB,
            "rounds": len(self.costs),
            "wrong": self.wrong,
        }


def compare(work: Work, sink: Sink, names: Sequence[str], rounds: int, *, tls: bool) -> dict[str, dict[str, Any]]:
    """Run each tool in turn, A B C A B C; the sink counts what arrived."""
    tree, figures = work.tree(), {name: Figures() for name in names}
    for turn in range(rounds):
        for name in names:
            warm(tree)
            job = Job(tree, SCRATCH / "home", sink, tls, work.large)
            cost, trouble = once(TOOLS[name], job, work)
            figures[name].costs.append(cost)
            figures[name].wrong += trouble
            print(_line(name, work, cost, trouble, turn), flush=True)
    return {name: each.summary(work) for name, each in figures.items()}


def warm(tree: Path) -> None:
    """Load the files into memory, as just written files are: otherwise the first tool would read them for all."""
    for path in tree.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(16 * MIB):
                    pass


def once(tool: Tool, job: Job, work: Work) -> tuple[Cost, list[str]]:
    """Return the cost of one run, and the files that did not arrive correctly."""
    cost, counted = run(tool, job), job.sink.counters()
    arrived = (counted["objects"] + counted["completed"], counted["object_bytes"] + counted["part_bytes"])
    wrong = [] if arrived == (work.count, work.size) else [f"arrived: {arrived}, not {(work.count, work.size)}"]
    return cost, wrong if cost.code == 0 else [*wrong, f"exit code {cost.code}"]


def _line(name: str, work: Work, cost: Cost, trouble: list[str], turn: int) -> str:
    rate = f"{work.count / cost.seconds:9,.0f}/s {work.size / cost.seconds / 1e6:7,.0f} MB/s"
    used = f"CPU {cost.cpu:7.2f} s ({cost.cpu / work.count * 1e6:9,.0f} us each), {cost.rss / MIB:4.0f} MiB"
    return f"{turn + 1} {work.name:22} {name:10} {cost.seconds:7.2f} s {rate} {used} {'; '.join(trouble)}"


@contextmanager
def recorded(name: str) -> Iterator[dict[str, Any]]:
    """A mapping for figures, which is kept as ``results/NAME.json``."""
    figures: dict[str, Any] = {}
    yield figures
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **figures}, indent=1, default=_plain)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, Cost) else str(value)


def machine() -> Mapping[str, object]:
    """Describe the machine in general terms."""
    return {"processors": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
