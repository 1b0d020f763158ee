"""`crosshaul explain`: why a file is, or is not yet, in the bucket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.explanation import explain
from crosshaul.cli.file_view import FileView
from crosshaul.cli.journals import journal_reader
from crosshaul.cli.options import config_option, json_option
from crosshaul.cli.paths import RoutePosition, locate, url_of, url_of_record
from crosshaul.cli.records import record_json
from crosshaul.cli.snapshot import paused_routes
from crosshaul.cli.verb import Verb
from crosshaul.concurrency.clock import SystemClock
from crosshaul.display import printable
from crosshaul.journal import Reader
from crosshaul.model import Record, SettleReason, Sighting

if TYPE_CHECKING:
    from crosshaul.config import Config, Route


@click.command(cls=Verb)
@config_option
@click.argument("path", type=click.Path(path_type=Path, readable=False))
@json_option
def command(config: Config, path: Path, *, as_json: bool) -> None:
    """Explain why a file is in the bucket, or why it is not there yet and what to do.

    PATH is the local file, absolute or relative; the file need not exist any more. Works with or without a daemon.

    Examples:
      crosshaul explain /srv/exports/2026/report.csv
      crosshaul explain --json report.csv | jq -r .record.receipt.checksum.value

    Exit codes:
      0  explained
      2  PATH is in no route, the configuration is invalid, or the journal can't be read
    """
    position = locate(config, path)
    with journal_reader(config.state_dir) as reader:
        view = _view(config, position, reader)
        others = [_view(config, other, reader) for other in _other_positions(config, position)]
    if as_json:
        output = {"path": view.path, **_json(view), "other_routes": [_json(other) for other in others]}
        click.echo(json.dumps(output, indent=2))
        return
    for line in _lines(view):
        click.echo(line)
    for other in others:
        for number, line in enumerate(_lines(other)):
            click.echo(f"Route {other.route.name}: {line}" if number == 0 else f"  {line}")


def _lines(view: FileView) -> list[str]:
    return [printable(line) for line in explain(view)]


def _json(view: FileView) -> dict[str, Any]:
    record = record_json(view.record) if view.record else None
    return {"route": view.route.name, "explanation": _lines(view), "record": record}


def _other_positions(config: Config, position: RoutePosition) -> list[RoutePosition]:
    """Return the same file's positions in all other routes that deliver it."""
    from crosshaul.discovery.ownership import Ownership  # noqa: PLC0415 - --help does without pathspec and pydantic

    routes = {route.name: route for route in config.routes}
    (owners,) = Ownership(lambda: config).owners(position.route, [position.relative])
    return [RoutePosition(routes[other.route], other.path) for other in owners.places if not other.marked]


def _view(config: Config, position: RoutePosition, reader: Reader | None) -> FileView:
    route = position.route
    record = reader.find(route.name, position.relative) if reader else None
    destinations = {status.name: status for status in reader.destinations()} if reader else {}
    routes = {status.name: status for status in reader.routes()} if reader else {}
    return FileView(
        path=str(position),
        url=url_of_record(record) if record and record.key else "",
        new_url=_new_url(config, route, record, reader) if record and reader else "",
        route=route,
        record=record,
        destination=destinations.get(record.destination if record else route.destination),
        watcher=routes.get(route.name),
        daemon_running=reader is not None and reader.daemon_pid() is not None,
        stat=_stat(position),
        left_out=_left_out(position),
        paused=route.name in paused_routes(config, reader),
        now=SystemClock().now(),
    )


def _new_url(config: Config, route: Route, record: Record, reader: Reader) -> str:
    """Return the object's address by the present configuration; empty if it is the record's."""
    from crosshaul.discovery.key_namer import KeyNamer  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.discovery.route_plan import plan_of  # noqa: PLC0415

    destination, hostname = config.destinations[route.destination], socket.gethostname()
    namer = KeyNamer(route, hostname, destination.key_prefix)
    if record.plan == reader.plan(plan_of(route, destination, hostname)).id or namer.needs_sha256:
        return ""
    settled = namer.name(Sighting(route.name, record.path, record.fingerprint), SettleReason.QUIET, None)
    unchanged = settled.refusal or (destination.place, settled.key) == (record.place, record.key)
    return "" if unchanged else url_of(config, route.destination, settled.key)


def _stat(position: RoutePosition) -> os.stat_result | None:
    try:
        return os.stat(position.absolute, follow_symlinks=position.route.symlinks == "follow_inside")  # noqa: PTH116
    except OSError:
        return None


def _left_out(position: RoutePosition) -> bool:
    from crosshaul.discovery.scanner import Scanner  # noqa: PLC0415 - --help does without pathspec and pydantic

    selection = Scanner(position.route).selection
    return not (selection.takes(position.relative) and all(map(selection.enters, _parents(position.relative))))


def _parents(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path
