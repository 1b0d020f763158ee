"""`status` for people: tables where they fit the terminal, else a paragraph a row; aligned text where it is piped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crosshaul.display import duration, moment, printable, size

_PIPED_WIDTH = 100_000
"""Nothing is folded or cut in what another program reads."""
_ROOM_FOR_PROSE = 30
"""Columns that a sentence in a table has at the least; narrower it is a paragraph of its own."""
_FIGURES = frozenset({"pending", "uploading", "delivered", "quarantined", "oldest", "session ends in"})
"""The columns that are read from the right."""
_STYLES = {
    "ready": "green",
    "watching": "green",
    "parked": "bold red",
    "root missing": "bold red",
    "starting": "yellow",
    "paused": "bold yellow",
}


def terminal() -> Console:
    """Where the tables go: colours only on a terminal, and not where NO_COLOR is set."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def show(facts: Mapping[str, Any], *, nothing_yet: bool, state_dir: Path) -> None:
    """Print the snapshot; ``nothing_yet`` = there is no journal so far."""
    console = terminal()
    console.print(picture(console, facts, nothing_yet=nothing_yet, state_dir=state_dir))


def picture(console: Console, facts: Mapping[str, Any], *, nothing_yet: bool, state_dir: Path) -> Group:
    """The snapshot, as it fits ``console``."""
    return Group(*_parts(console, facts, nothing_yet=nothing_yet, state_dir=state_dir))


def _parts(
    console: Console, facts: Mapping[str, Any], *, nothing_yet: bool, state_dir: Path
) -> Iterator[RenderableType]:
    yield _daemon(facts["daemon"])
    if facts["journal"]["error"]:
        yield Text(printable(f"The journal can't be written: {facts['journal']['error']}"), style="bold red")
    if nothing_yet:
        yield Text(f"Nothing has run yet: there is no journal in {printable(state_dir)}.")
    yield _totals(facts)
    yield _routes(console, facts["routes"], facts["now"])
    yield _destinations(console, facts["destinations"])


def _daemon(daemon: Mapping[str, Any]) -> str:
    if daemon["running"]:
        return f"The daemon runs (pid {daemon['pid']})."
    return "No daemon is running."


def _totals(facts: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{facts[name]:,} {name}" for name in ("delivered", "uploading", "pending", "quarantined"))
    if restless := sum(route["settling"] for route in facts["routes"].values()):
        counts += f", {restless:,} not at rest yet"
    waits = f"; {size(facts['pending_bytes'])} wait, the oldest for {duration(facts['oldest_pending_seconds'])}"
    return f"Files: {counts}{waits if facts['pending'] else ''}."


def _routes(console: Console, routes: Mapping[str, Mapping[str, Any]], now: float) -> RenderableType:
    figures = ("pending", "uploading", "delivered", "quarantined")
    rows = []
    for name, route in routes.items():
        oldest = duration(route["oldest_pending_seconds"]) if route["pending"] else "-"
        scanned = moment(route["last_scan_at"], now) if route["last_scan_at"] else "-"
        cells = [*(f"{route[figure]:,}" for figure in figures), oldest, scanned]
        rows.append([printable(name), *cells, "paused" if route["paused"] else route["watcher"]])
    return _fitting(console, ["route", *figures, "oldest", "last scan", "watcher"], rows)


def _destinations(console: Console, destinations: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    rows = []
    for name, facts in destinations.items():
        left = facts["credentials_expire_in_seconds"]
        ends = "-" if left is None else duration(left)
        rows.append([printable(name), facts["state"], ends, facts["last_error"] or "-"])
    return _fitting(console, ["destination", "state", "session ends in", "last error"], rows)


def _fitting(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """A table whose last column takes what room is left; where that is too little, each row as a paragraph."""
    *short, prose = (max(map(cell_len, column)) for column in zip(heads, *rows, strict=True))
    needed = sum(width + 2 for width in short) + min(prose, _ROOM_FOR_PROSE)
    if console.is_terminal and needed > console.width:
        return Group("", *(_paragraph(heads, row) for row in rows))
    table = Table(
        box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False
    )
    for head in heads:
        table.add_column(
            head, justify="right" if head in _FIGURES else "left", no_wrap=head != heads[-1], overflow="fold"
        )
    for row in rows:
        table.add_row(*map(_styled, row))
    return Group("", table) if console.is_terminal else table


def _paragraph(heads: Sequence[str], row: Sequence[str]) -> RenderableType:
    told = Text(", ").join(
        Text.assemble(f"{head} ", _styled(cell)) for head, cell in zip(heads[1:], row[1:], strict=True)
    )
    told.overflow = "fold"
    return Group(Text(row[0], style="bold", overflow="fold"), Padding(told, (0, 0, 0, 2)))


def _styled(cell: str) -> Text:
    return Text(printable(cell), _STYLES.get(cell, ""))
