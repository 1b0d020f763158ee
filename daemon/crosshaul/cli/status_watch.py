"""`crosshaul status --watch`: the status every second, until Ctrl-C."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from crosshaul.cli.journals import journal_reader
from crosshaul.cli.progress import terminal_restored
from crosshaul.cli.rate_and_eta import Rate
from crosshaul.cli.snapshot import read_status
from crosshaul.cli.tables import render, terminal
from crosshaul.display import printable
from crosshaul.errors import CrosshaulError
from crosshaul.model import Record

if TYPE_CHECKING:
    from crosshaul.config import Config

_PERIOD_SECONDS = 1.0
_MAX_UPLOADS = 1000
"""Uploads whose progress is read."""
_MAX_NAMES = 5
"""Uploads that are shown by name."""


def watch(config: Config, *, as_json: bool) -> None:
    """Show the status every second; return at Ctrl-C."""
    console = terminal()
    with suppress(KeyboardInterrupt):
        if as_json:
            _print_json(config)
        elif console.is_terminal and not console.is_dumb_terminal:
            _redraw(console, config)
        else:
            _print(console, config)


def _print_json(config: Config) -> None:
    while True:
        with journal_reader(config.state_dir) as reader:
            click.echo(json.dumps(read_status(config, reader)))
        time.sleep(_PERIOD_SECONDS)


def _print(console: Console, config: Config) -> None:
    rate = Rate()
    while True:
        console.print(_picture(console, config, rate), "")
        time.sleep(_PERIOD_SECONDS)


def _redraw(console: Console, config: Config) -> None:
    """Redraw the terminal's alternate screen; the last picture stays on the normal one."""
    rate = Rate()
    picture: RenderableType = ""
    try:
        with terminal_restored(), Live(picture, console=console, screen=True, auto_refresh=False) as live:
            while True:
                picture = _picture(console, config, rate)
                live.update(picture, refresh=True)
                time.sleep(_PERIOD_SECONDS)
    finally:
        console.print(picture)


def _picture(console: Console, config: Config, rate: Rate) -> RenderableType:
    """Return the status to draw. An unreadable journal is shown as such: it may be readable in a second."""
    try:
        with journal_reader(config.state_dir) as reader:
            status, uploads = read_status(config, reader), reader.uploading(_MAX_UPLOADS) if reader else []
    except CrosshaulError as error:
        return Text(printable(error), style="bold red")
    tables = render(console, status, no_journal=reader is None, state_dir=config.state_dir)
    lines = (_rate_sentence(status, uploads, rate), _upload_names(uploads))
    return Group(tables, "", *(Text(line, overflow="fold") for line in lines if line))


def _rate_sentence(status: dict[str, Any], uploads: Sequence[Record], rate: Rate) -> str:
    sent = sum(record.sent_bytes for record in uploads)
    left = status["pending_bytes"] + sum(record.fingerprint.size for record in uploads) - sent
    return rate.sentence(status["now"], status["delivered"], status["delivered_bytes"] + sent, left)


def _upload_names(uploads: Sequence[Record]) -> str:
    """Name the uploads that have taken longest."""
    longest = sorted(uploads, key=lambda record: record.changed_at)[:_MAX_NAMES]
    names = [
        f"{printable(record.path)} ({record.sent_bytes * 100 // max(1, record.fingerprint.size)}%)"
        for record in longest
    ]
    more = [f"{len(uploads) - _MAX_NAMES:,} more"] if len(uploads) > _MAX_NAMES else []
    return f"Uploading: {', '.join([*names, *more])}." if names else ""
