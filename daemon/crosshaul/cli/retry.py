"""`crosshaul retry`: puts quarantined files back in the queue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import journal_reader
from crosshaul.cli.options import config_option, json_option
from crosshaul.cli.paths import locate
from crosshaul.cli.verb import Verb
from crosshaul.display import count
from crosshaul.journal import requeue

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path, readable=False))
@json_option
def command(config: Config, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Put quarantined files back in the queue: the given ones, or all.

    Their tries are counted from zero. Safe while a daemon runs, which sends them at once; without a daemon the next
    `run` or `push` sends them.

    Examples:
      crosshaul retry
      crosshaul retry /srv/exports/report.csv /srv/exports/other.csv

    Exit codes:
      0  done, also if no file is quarantined
      2  bad usage (a path in no route), invalid configuration, or the journal can't be used
    """
    positions = [locate(config, path) for path in paths]
    with journal_reader(config.state_dir) as reader:
        selections = [(position.route.name, position.relative) for position in positions]
        number = requeue(config.state_dir, selections if paths else None) if reader else 0
        running = reader is not None and reader.daemon_pid() is not None
    if as_json:
        click.echo(json.dumps({"requeued": number, "daemon_running": running}))
    elif reader is None:
        click.echo("No file is quarantined: there is no journal yet.")
    else:
        click.echo(_sentence(number, len(paths), running=running))


def _sentence(number: int, given: int, *, running: bool) -> str:
    rest = given - number
    sentence = f"{count(number, 'file')} went back in the queue."
    if rest > 0:
        verb = "is" if rest == 1 else "are"
        sentence += f" {count(rest, 'given file')} {verb} not quarantined (see `crosshaul explain`)."
    if number and not running:
        sentence += " No daemon is running: `crosshaul run` or `crosshaul push` sends them."
    return sentence
