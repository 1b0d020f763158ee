"""`crosshaul resend`: delivered files go again, to where they went."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import looked_into
from crosshaul.cli.options import check_routes, config_option, json_option, route_names
from crosshaul.cli.paths import RoutePosition, locate
from crosshaul.cli.verb import Verb
from crosshaul.display import count, size
from crosshaul.journal.sqlite.reader import Reader, resend
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
    """Send delivered files again: those given, those of a route, or all whose local file is there still.

    For a bucket whose objects were lost. PATH is a file or a directory. Safe beside a running daemon, which takes them
    up within moments; without one they go at the next `run` or `push`. After a change of the configuration this is not
    needed: what it has go elsewhere goes again by itself.

    Examples:
      crosshaul resend /srv/exports/2026/report.csv
      crosshaul resend --route exports

    Exit codes:
      0  done
      1  a PATH is, or holds, no delivered file that is there still; a line on stderr names it
      2  bad usage (a path in no route), bad configuration, or the journal can't be used
    """
    check_routes(config, (route,) if route else ())
    wanted = [locate(config, path) for path in paths]
    with looked_into(config.state_dir) as reader:
        chosen = list(_chosen(config, reader, wanted, route)) if reader else []
        number = resend(config.state_dir, [(record.route, record.path) for record in chosen]) if reader else 0
        running = reader is not None and reader.daemon_pid() is not None
    found = [place for place in wanted if any(_holds(place, record) for record in chosen)]
    for place in wanted:
        if place not in found:
            click.echo(
                f"crosshaul: {place}: not delivered, or not there any more; `crosshaul explain` says more", err=True
            )
    told = sum(record.fingerprint.size for record in chosen)
    if as_json:
        click.echo(json.dumps({"resent": number, "bytes": told, "daemon_running": running}))
    else:
        click.echo(_sentence(number, told, running=running))
    context.exit(1 if len(found) < len(wanted) else 0)


def _chosen(config: Config, reader: Reader, wanted: list[RoutePosition], route: str | None) -> Iterator[Record]:
    """Delivered files that were asked for, and are there still."""
    routes = {each.name: each for each in config.routes}
    for record in reader.records(State.DELIVERED, route):
        if wanted and not any(_holds(place, record) for place in wanted):
            continue
        if record.route in routes and os.path.lexists(RoutePosition(routes[record.route], record.path).absolute):
            yield record


def _holds(place: RoutePosition, record: Record) -> bool:
    below = place.relative in {b"", b"."} or record.path.startswith(place.relative + b"/")
    return record.route == place.route.name and (below or record.path == place.relative)


def _sentence(number: int, told: int, *, running: bool) -> str:
    verb = "goes" if number == 1 else "go"
    line = f"{count(number, 'file')} ({size(told)}) {verb} again."
    if number and not running:
        line += " No daemon is running: `crosshaul run` or `crosshaul push` sends them."
    return line
