"""The tables of `status` fit the terminal, keep every figure whole, and escape odd names."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from crosshaul.cli import tables
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import DestinationState, DestinationStatus, RouteCounts, RouteStatus, State
from crosshaul.telemetry.status import snapshot

NOW = 3.0


def shown(monkeypatch, width, routes, watcher="watching"):
    """Return the output on a terminal of that width, with and without its colours."""
    out = io.StringIO()
    monkeypatch.setattr(tables, "Console", lambda **more: Console(file=out, force_terminal=True, width=width, **more))
    error = Diagnosis(FaultKind.DESTINATION, "AccessDenied", "no " * 100 + "\x1b[2J", "PutObject", 403)
    present = snapshot(
        [RouteCounts(name, {State.PENDING: 1, State.DELIVERED: 1_234_567}, 5, 10**12, 0.0) for name in routes],
        [DestinationStatus("partner", DestinationState.PARKED, 60.0, 5.0, error)],
        [RouteStatus(name, watcher, 1.0) for name in routes],
        NOW,
        daemon_pid=None,
    )
    tables.show(present, no_journal=False, state_dir=Path("/state"))
    return out.getvalue(), re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


@pytest.mark.parametrize("watcher", ["watching", "w" * 300], ids=["short", "long"])
@pytest.mark.parametrize("name", ["exports", "x" * 150, "caf\u00e9 \x1b[31m\n\u202e"], ids=["short", "long", "odd"])
@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(monkeypatch, width, name, watcher):
    """With any names and errors, lines fit, counts are whole, and nothing moves the cursor."""
    written, output = shown(monkeypatch, width, [name], watcher)
    assert max(map(len, output.splitlines())) <= width
    assert "1,234,567" in output
    assert "partner" in output
    assert "parked" in output
    assert "\u2026" not in output
    assert "\x1b" not in output
    assert not {"\x1b[2J", "\u202e"} & set(re.findall(r"\x1b\[2J|\u202e", written))


def test_a_narrow_terminal_has_a_paragraph_for_each_route(monkeypatch):
    """On a narrow terminal each route is a line with its name and an indented paragraph."""
    _, output = shown(monkeypatch, 40, ["one", "two"])
    lines = output.splitlines()
    assert {"one", "two"} <= {line.strip() for line in lines}
    assert any(line.startswith("  pending 1, uploading 0,") for line in lines)
    assert "route " not in output


def test_a_wide_one_has_a_table(monkeypatch):
    """On a wide terminal routes are rows of one table."""
    _, output = shown(monkeypatch, 120, ["one", "two"])
    (head,) = [line for line in output.splitlines() if line.startswith("route ")]
    (row,) = [line for line in output.splitlines() if line.startswith("two ")]
    assert head.index("watcher") == row.index("watching")


def test_no_color_is_heeded(monkeypatch):
    """With NO_COLOR set a terminal gets no colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    written, _ = shown(monkeypatch, 120, ["one"])
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", written) is None
    monkeypatch.delenv("NO_COLOR")
    written, _ = shown(monkeypatch, 120, ["one"])
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", written)
