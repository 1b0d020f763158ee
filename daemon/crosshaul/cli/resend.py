"""`crosshaul resend`: sends delivered files again, to the same address."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import journal_reader
from crosshaul.cli.options import check_routes, config_option, json_option, route_names
from crosshaul.cli.paths import RoutePosition, locate
from crosshaul.cli.verb import Verb
from crosshaul.display import count, size
from crosshaul.journal import Reader, resend
from crosshaul.model import Record, State

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path, readable=False))
@click.option("--route", metavar="NAME", shell_complete=route_names, help="Only files of this route.")
@json_option
@click.pass_context
def command(
    context: click.Context, config: Config, paths: tuple[Path, ...], route: str | None, *, as_json: bool
) -> None:
    """Send delivered files again: the given ones, those of a route, or all whose local file still exists.

    For a bucket whose objects were lost. PATH is a file or a directory. Safe while a daemon runs, which sends them at
    once; without a daemon the next `run` or `push` sends them. Not needed after a change of the configuration: files
    that it sends to another address are queued automatically.

    Examples:
      crosshaul resend /srv/exports/2026/report.csv
      crosshaul resend --route exports

    Exit codes:
      0  done
      1  a PATH is, or holds, no delivered file that still exists; a line on stderr names it
      2  bad usage (a path in no route), invalid configuration, or the journal can't be used
    """
    check_routes(config, (route,) if route else ())
    positions = [locate(config, path) for path in paths]
    with journal_reader(config.state_dir) as reader:
        records = list(_chosen(config, reader, positions, route)) if reader else []
        number = resend(config.state_dir, [(record.route, record.path) for record in records]) if reader else 0
        running = reader is not None and reader.daemon_pid() is not None
    unmatched = [position for position in positions if not any(_holds(position, record) for record in records)]
    for position in unmatched:
        click.echo(f"crosshaul: {position}: not delivered, or deleted since; see `crosshaul explain`.", err=True)
    total = sum(record.fingerprint.size for record in records)
    if as_json:
        click.echo(json.dumps({"resent": number, "bytes": total, "daemon_running": running}))
    else:
        click.echo(_sentence(number, total, running=running))
    context.exit(1 if unmatched else 0)


def _chosen(config: Config, reader: Reader, positions: list[RoutePosition], route: str | None) -> Iterator[Record]:
    """Yield the chosen delivered files that still exist."""
    routes = {route.name: route for route in config.routes}
    for record in reader.records(State.DELIVERED, route):
        if positions and not any(_holds(position, record) for position in positions):
            continue
        if record.route in routes and os.path.lexists(RoutePosition(routes[record.route], record.path).absolute):
            yield record


def _holds(position: RoutePosition, record: Record) -> bool:
    below = position.relative in {b"", b"."} or record.path.startswith(position.relative + b"/")
    return record.route == position.route.name and (below or record.path == position.relative)


def _sentence(number: int, total: int, *, running: bool) -> str:
    sentence = f"{count(number, 'file')} ({size(total)}) queued again."
    if number and not running:
        sentence += " No daemon is running: `crosshaul run` or `crosshaul push` sends them."
    return sentence
