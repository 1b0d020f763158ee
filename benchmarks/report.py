"""RESULTS.md and its plots, out of the figures of the last runs (results/*.json). Needs matplotlib: `make bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NOTES = HERE / "NOTES.md"
_KINDS = {
    "small": "20,000 files of 4 KiB, TLS",
    "large": "4 files of 512 MiB, TLS",
    "large-http": "4 files of 512 MiB, http",
    "mixed": "a mixed tree (10,000 of 4 KiB, 100 of 10 MiB, 2 of 1 GiB), TLS",
}
Figures = Mapping[str, Any]


def figures(name: str) -> Figures | None:
    """Return the result of a run, if there was one."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def main() -> None:
    found = {name: each for name in [*_KINDS, "number", "million", "latency", "round-trip", "idle", "bandwidth"]
             if (each := figures(name)) is not None}  # fmt: skip
    parts = [NOTES.read_text().rstrip(), _machine(next(iter(found.values()))["machine"])]
    parts += [_compared(title, found[name]) for name, title in _KINDS.items() if name in found]
    parts += [section(found[name]) for name, section in _SECTIONS.items() if name in found]
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")


def _machine(told: Figures) -> str:
    return (
        f"The machine of this run: {told['processors']} processors, shared with the sink; "
        f"{told['system']}, Python {told['python']}."
    )


def _compared(title: str, found: Figures) -> str:
    tools: Figures = next(value for name, value in found.items() if name != "machine")
    ours = tools["crosshaul"]
    rows = [_row(name, each, ours) for name, each in tools.items()]
    head = (
        "| tool | objects/s (least, most) | MB/s | CPU s | CPU us each | peak MiB | ours / its rate | ours / its CPU |"
    )
    wrong = [f"{name}: {'; '.join(each['wrong'])}" for name, each in tools.items() if each["wrong"]]
    return "\n".join([f"## {title}", "", head, "|---|" + "---|" * 7, *rows, *(["", *wrong] if wrong else [])])


def _row(name: str, each: Figures, ours: Figures) -> str:
    rate = f"{each['objects_per_second']:,.1f} ({each['slowest']:,.1f}, {each['fastest']:,.1f})"
    faster = ours["objects_per_second"] / each["objects_per_second"]
    cells = [
        name,
        rate,
        f"{each['mb_per_second']:,.0f}",
        f"{each['cpu_seconds']:.1f}",
        f"{each['cpu_us_per_object']:,.0f}",
    ]
    cells += [f"{each['peak_rss_mib']:.0f}", f"{faster:.2f}", f"{ours['cpu_seconds'] / each['cpu_seconds']:.2f}"]
    return f"| {' | '.join(cells)} |"


def _number(found: Figures) -> str:
    by_tool: dict[str, list[tuple[int, float]]] = {}
    for work, tools in found.items():
        if work != "machine":
            count = int(work.split(" ")[0].replace(",", ""))
            for tool, each in tools.items():
                by_tool.setdefault(tool, []).append((count, each["objects_per_second"]))
    mpl.rcParams["svg.hashsalt"] = "crosshaul"
    plot, axes = pyplot.subplots(figsize=(7, 4))
    for tool, points in by_tool.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=tool)
    axes.set(xscale="log", xlabel="files of 4 KiB", ylabel="objects/s, start included", ylim=(0, None))
    axes.legend()
    plot.savefig(RESULTS / "number.svg", metadata={"Date": None})
    return "## Rate by number of files\n\n![objects per second by number of files](results/number.svg)"


def _million(found: Figures) -> str:
    told = {name: each for name, each in found.items() if name != "machine"}
    find = told["find"]["seconds"]
    lines = [
        "## Very many files: the first pass and the second",
        "",
        "| what | seconds | of find's | files/s | CPU s | peak MiB | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in told.items():
        rate = f"{each['rate']:,.0f}" if "rate" in each else ""
        share = "" if "rate" in each else f"{each['seconds'] / find:.1f}"
        cells = [name, f"{each['seconds']:.1f}", share, rate, f"{each['cpu']:.1f}", f"{each['rss_mib']:.0f}"]
        lines.append(f"| {' | '.join(cells)} | {'; '.join(each['wrong'])} |")
    return "\n".join(lines)


def _latency(found: Figures) -> str:
    rows = [
        f"| {way} | {each['p50_ms']:.1f} | {each['p99_ms']:.1f} | {each['max_ms']:.1f} |"
        for way, each in found.items()
        if way != "machine"
    ]
    head = [
        "## From a file's end to S3's word, 100 files a second",
        "",
        "| way | p50 ms | p99 ms | most |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", "`quiet` is what comes on top of settle.quiet."])


def _round_trip(found: Figures) -> str:
    told = f"{found['objects_per_second']:,.0f} objects/s of {found['limit']:,.0f}: {found['share']:.0%}"
    return f"## 50 ms of round trip\n\n{told} of max_concurrency / round trip."


def _idle(found: Figures) -> str:
    told = f"{found['share_of_a_core']:.2%} of a core, {found['rss_mib']:.0f} MiB resident."
    return f"## Idle, 10,000 directories watched\n\n{told}"


def _bandwidth(found: Figures) -> str:
    kinds = [
        f"{name} files {each['least']:.1%} to {each['most']:.1%}" for name, each in found.items() if name != "machine"
    ]
    return f"## bandwidth: 20MiB/s\n\nOver any five seconds, of the limit: {', '.join(kinds)}."


_SECTIONS: dict[str, Any] = {
    "number": _number,
    "million": _million,
    "latency": _latency,
    "round-trip": _round_trip,
    "idle": _idle,
    "bandwidth": _bandwidth,
}


if __name__ == "__main__":
    main()
