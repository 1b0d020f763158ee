"""`status` for people: tables that fit the terminal; aligned text without decoration where it is piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosshaul.telemetry.plain import printable
from crosshaul.telemetry.words import duration, moment, size

_PIPED_WIDTH = 100_000
"""Nothing is folded or cut in what another program reads."""
_STYLES = {
    "ready": "green",
    "watching": "green",
    "parked": "bold red",
    "root missing": "bold red",
    "starting": "yellow",
    "paused": "bold yellow",
}


def show(facts: Mapping[str, Any], *, nothing_yet: bool, state_dir: Path) -> None:
    """Print the snapshot; ``nothing_yet`` = there is no journal so far."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(_daemon(facts["daemon"]))
    if facts["journal"]["error"]:
        console.print(Text(printable(f"The journal can't be written: {facts['journal']['error']}"), style="bold red"))
    if nothing_yet:
        console.print(f"Nothing has run yet: there is no journal in {printable(state_dir)}.")
    console.print(_totals(facts))
    console.print(_routes(console, facts["routes"], facts["now"]))
    console.print(_destinations(console, facts["destinations"]))


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


def _routes(console: Console, routes: Mapping[str, Mapping[str, Any]], now: float) -> Table:
    figures = ("pending", "uploading", "delivered", "quarantined")
    table = _table(console, ["route"], [*figures, "oldest"], ["watcher", "last scan"])
    for name, route in routes.items():
        oldest = duration(route["oldest_pending_seconds"]) if route["pending"] else "-"
        scanned = moment(route["last_scan_at"], now) if route["last_scan_at"] else "-"
        cells = [f"{route[figure]:,}" for figure in figures]
        state = "paused" if route["paused"] else route["watcher"]
        table.add_row(name, *cells, oldest, _styled(state), scanned)
    return table


def _destinations(console: Console, destinations: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table(console, ["destination", "state"], ["session ends in"], ["last error"])
    for name, facts in destinations.items():
        left = facts["credentials_expire_in_seconds"]
        error = printable(facts["last_error"]) if facts["last_error"] else "-"
        table.add_row(name, _styled(facts["state"]), "-" if left is None else duration(left), error)
    return table


def _table(console: Console, before: Sequence[str], figures: Sequence[str], after: Sequence[str]) -> Table:
    box = SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=box, pad_edge=False, padding=(0, 1))
    for head in before:
        table.add_column(head, overflow="fold")
    for head in figures:
        table.add_column(head, justify="right", no_wrap=not console.is_terminal)
    for head in after:
        table.add_column(head, overflow="fold")
    return table


def _styled(state: str) -> Text:
    return Text(printable(state), _STYLES.get(state, ""))
