"""`crosshaul retry`: quarantined files go back in the queue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import looked_into
from crosshaul.cli.options import config_option, json_option
from crosshaul.cli.paths import locate
from crosshaul.cli.verb import Verb
from crosshaul.display import count
from crosshaul.journal.sqlite.reader import requeue

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path, readable=False))
@json_option
def command(config: Config, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Put quarantined files back in the queue: those given, or all.

    Their tries are counted from zero. Safe beside a running daemon, which takes them up within moments; without one
    they go at the next `run` or `push`.

    Examples:
      crosshaul retry
      crosshaul retry /srv/exports/report.csv /srv/exports/other.csv

    Exit codes:
      0  done, also if there were none
      2  bad usage (a path in no route), bad configuration, or the journal can't be used
    """
    places = [locate(config, path) for path in paths]
    with looked_into(config.state_dir) as reader:
        selections = [(place.route.name, place.relative) for place in places]
        number = requeue(config.state_dir, selections if paths else None) if reader else 0
        running = reader is not None and reader.daemon_pid() is not None
    if as_json:
        click.echo(json.dumps({"requeued": number, "daemon_running": running}))
    elif reader is None:
        click.echo("Nothing has run yet, so nothing is quarantined.")
    else:
        click.echo(_sentence(number, len(paths), running=running))


def _sentence(number: int, asked: int, *, running: bool) -> str:
    rest = asked - number
    told = f"{count(number, 'file')} went back in the queue."
    if rest > 0:
        told += f" {rest:,} of those named {'is' if rest == 1 else 'are'} not quarantined (see `crosshaul explain`)."
    if number and not running:
        told += " No daemon is running: `crosshaul run` or `crosshaul push` sends them."
    return told
