"""`status --watch`: the same again every second, until Ctrl-C."""

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

from crosshaul.cli.journals import looked_into
from crosshaul.cli.progress_display import put_in_order
from crosshaul.cli.rate import Rate
from crosshaul.cli.snapshot import gathered
from crosshaul.cli.tables import picture, terminal
from crosshaul.display import printable
from crosshaul.errors import CrosshaulError
from crosshaul.model import Record

if TYPE_CHECKING:
    from crosshaul.config import Config

_EVERY = 1.0
_MANY = 1000
_NAMED = 5
"""Files that are being sent, told by name."""


def watch(config: Config, *, as_json: bool) -> None:
    """Come back at Ctrl-C, which is how this is meant to end."""
    console = terminal()
    with suppress(KeyboardInterrupt):
        if as_json:
            _lines(config)
        elif console.is_terminal and not console.is_dumb_terminal:
            _screen(console, config)
        else:
            _one_after_another(console, config)


def _lines(config: Config) -> None:
    while True:
        with looked_into(config.state_dir) as reader:
            click.echo(json.dumps(gathered(config, reader)))
        time.sleep(_EVERY)


def _one_after_another(console: Console, config: Config) -> None:
    trend = Rate()
    while True:
        console.print(_drawn(console, config, trend), "")
        time.sleep(_EVERY)


def _screen(console: Console, config: Config) -> None:
    """On a screen of its own; the last picture stays on the one that was there before."""
    trend, drawn = Rate(), _drawn(console, config, Rate())
    try:
        with put_in_order(), Live(drawn, console=console, screen=True, auto_refresh=False) as live:
            while True:
                drawn = _drawn(console, config, trend)
                live.update(drawn, refresh=True)
                time.sleep(_EVERY)
    finally:
        console.print(drawn)


def _drawn(console: Console, config: Config, trend: Rate) -> RenderableType:
    """A picture; a journal that can't be read now may be readable in a second, and is no reason to end."""
    try:
        with looked_into(config.state_dir) as reader:
            facts, sending = gathered(config, reader), reader.uploading(_MANY) if reader else []
    except CrosshaulError as error:
        return Text(printable(error), style="bold red")
    shown = picture(console, facts, nothing_yet=reader is None, state_dir=config.state_dir)
    return Group(shown, "", *(Text(line, overflow="fold") for line in _going_on(facts, sending, trend) if line))


def _going_on(facts: dict[str, Any], sending: Sequence[Record], trend: Rate) -> tuple[str, str]:
    parts = sum(map(_sent, sending))
    whole = sum(record.fingerprint.size for record in sending)
    left = facts["pending_bytes"] + whole - parts
    return trend.told(facts["now"], facts["delivered"], facts["delivered_bytes"] + parts, left), _named(sending)


def _named(sending: Sequence[Record]) -> str:
    """Which files are being sent; those that have been longest at it first."""
    longest = sorted(sending, key=lambda record: record.changed_at)
    told = [
        f"{printable(record.path)} ({_sent(record) * 100 // max(1, record.fingerprint.size)}%)"
        for record in longest[:_NAMED]
    ]
    more = [f"{len(sending) - _NAMED:,} more"] if len(sending) > _NAMED else []
    return f"Being sent: {', '.join([*told, *more])}." if told else ""


def _sent(record: Record) -> int:
    return record.multipart.sent if record.multipart else 0
