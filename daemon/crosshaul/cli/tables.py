"""The status as tables; as paragraphs on a narrow terminal; as aligned text in a pipe."""

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

_PIPED_COLUMNS = 100_000
"""Lines for another program are not folded or cut."""
_MIN_PROSE_COLUMNS = 30
"""A table whose last column would be narrower is shown as paragraphs."""
_FIGURES = frozenset({"pending", "uploading", "delivered", "quarantined", "oldest", "session expires in"})
"""Right-aligned columns."""
_STYLES = {
    "ready": "green",
    "watching": "green",
    "parked": "bold red",
    "root missing": "bold red",
    "starting": "yellow",
    "paused": "bold yellow",
}


def terminal() -> Console:
    """Return the console for tables; it has colours on a terminal only, and not if NO_COLOR is set."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_COLUMNS
    return console


def show(status: Mapping[str, Any], *, no_journal: bool, state_dir: Path) -> None:
    """Print a ``telemetry.status.snapshot``; ``no_journal`` = nothing has run yet."""
    console = terminal()
    console.print(render(console, status, no_journal=no_journal, state_dir=state_dir))


def render(console: Console, status: Mapping[str, Any], *, no_journal: bool, state_dir: Path) -> Group:
    """Return the snapshot laid out for ``console``."""
    return Group(*_parts(console, status, no_journal=no_journal, state_dir=state_dir))


def _parts(
    console: Console, status: Mapping[str, Any], *, no_journal: bool, state_dir: Path
) -> Iterator[RenderableType]:
    yield _daemon(status["daemon"])
    if status["journal"]["error"]:
        yield Text(printable(f"The journal can't be written: {status['journal']['error']}"), style="bold red")
    if no_journal:
        yield Text(f"Nothing has run yet: there is no journal in {printable(state_dir)}.")
    yield _totals(status)
    yield _routes(console, status["routes"], status["now"])
    yield _destinations(console, status["destinations"])


def _daemon(daemon: Mapping[str, Any]) -> str:
    if daemon["running"]:
        return f"The daemon runs (pid {daemon['pid']})."
    return "No daemon is running."


def _totals(status: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{status[name]:,} {name}" for name in ("delivered", "uploading", "pending", "quarantined"))
    if settling := sum(route["settling"] for route in status["routes"].values()):
        counts += f", {settling:,} settling"
    oldest = f"the oldest for {duration(status['oldest_pending_seconds'])}"
    pending = f"; {size(status['pending_bytes'])} pending, {oldest}"
    return f"Files: {counts}{pending if status['pending'] else ''}."


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
    for name, destination in destinations.items():
        expire_in = destination["credentials_expire_in_seconds"]
        expiry = "-" if expire_in is None else duration(expire_in)
        rows.append([printable(name), destination["state"], expiry, destination["last_error"] or "-"])
    return _fitting(console, ["destination", "state", "session expires in", "last error"], rows)


def _fitting(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Return a table whose last column takes the remaining width, or a paragraph per row if that is too narrow."""
    *short, prose = (max(map(cell_len, column)) for column in zip(heads, *rows, strict=True))
    needed = sum(width + 2 for width in short) + min(prose, _MIN_PROSE_COLUMNS)
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
    fields = Text(", ").join(
        Text.assemble(f"{head} ", _styled(cell)) for head, cell in zip(heads[1:], row[1:], strict=True)
    )
    fields.overflow = "fold"
    return Group(Text(row[0], style="bold", overflow="fold"), Padding(fields, (0, 0, 0, 2)))


def _styled(cell: str) -> Text:
    return Text(printable(cell), _STYLES.get(cell, ""))
