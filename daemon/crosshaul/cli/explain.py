"""`crosshaul explain PATH`: gathers the facts of one file and has the story told."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.explanation import FileView, tell
from crosshaul.cli.journals import looked_into
from crosshaul.cli.options import config_option, json_option
from crosshaul.cli.paths import RoutePosition, locate, url_of, url_of_record
from crosshaul.cli.records import facts_of
from crosshaul.cli.snapshot import paused
from crosshaul.cli.verb import Verb
from crosshaul.concurrency.clock import SystemClock
from crosshaul.display import printable
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.model import Record, SettleReason, Sighting

if TYPE_CHECKING:
    from crosshaul.config import Config, Route


@click.command(cls=Verb)
@config_option
@click.argument("path", type=click.Path(path_type=Path, readable=False))
@json_option
def command(config: Config, path: Path, *, as_json: bool) -> None:
    """Say why a file is in the bucket, or why it is not there yet, and what would help.

    PATH is the local file, absolute or relative; it need not exist any more. Works with the daemon up or down.

    Examples:
      crosshaul explain /srv/exports/2026/report.csv
      crosshaul explain --json report.csv | jq -r .record.receipt.checksum.value

    Exit codes:
      0  told, whatever it is
      2  PATH is in no route, bad configuration, or the journal can't be read
    """
    place = locate(config, path)
    with looked_into(config.state_dir) as reader:
        scene = _scene(config, place, reader)
        others = [_scene(config, other, reader) for other in _other_places(config, place)]
    if as_json:
        facts = {"path": scene.path, **_facts(scene), "other_routes": [_facts(other) for other in others]}
        click.echo(json.dumps(facts, indent=2))
        return
    for line in _lines(scene):
        click.echo(line)
    for other in others:
        for number, line in enumerate(_lines(other)):
            click.echo(f"Route {other.route.name}: {line}" if number == 0 else f"  {line}")


def _lines(scene: FileView) -> list[str]:
    return [printable(line) for line in tell(scene)]


def _facts(scene: FileView) -> dict[str, Any]:
    record = facts_of(scene.record) if scene.record else None
    return {"route": scene.route.name, "told": _lines(scene), "record": record}


def _other_places(config: Config, place: RoutePosition) -> list[RoutePosition]:
    """The same file in every other route that takes it."""
    from crosshaul.discovery.ownership import Ownership  # noqa: PLC0415 - --help does without pathspec and pydantic

    routes = {route.name: route for route in config.routes}
    (owners,) = Ownership(lambda: config).owners(place.route, [place.relative])
    return [RoutePosition(routes[other.route], other.path) for other in owners.places if not other.marked]


def _scene(config: Config, place: RoutePosition, reader: Reader | None) -> FileView:
    route = place.route
    record = reader.find(route.name, place.relative) if reader else None
    destinations = {status.name: status for status in reader.destinations()} if reader else {}
    routes = {status.name: status for status in reader.routes()} if reader else {}
    return FileView(
        path=str(place),
        url=url_of_record(record) if record and record.key else "",
        goes_to=_goes_to(config, route, record, reader) if record and reader else "",
        route=route,
        record=record,
        destination=destinations.get(record.destination if record else route.destination),
        watcher=routes.get(route.name),
        daemon_running=reader is not None and reader.daemon_pid() is not None,
        stat=_stat(place),
        left_out=_left_out(place),
        paused=route.name in paused(config, reader),
        now=SystemClock().now(),
    )


def _goes_to(config: Config, route: Route, record: Record, reader: Reader) -> str:
    """Where the configuration of today has the file go, if that is not where the record has it."""
    from crosshaul.discovery.key_namer import KeyNamer  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.discovery.route_plan import plan_of  # noqa: PLC0415

    destination, hostname = config.destinations[route.destination], socket.gethostname()
    namer = KeyNamer(route, hostname, destination.key_prefix)
    if record.plan == reader.plan(plan_of(route, destination, hostname)).id or namer.needs_sha256:
        return ""
    settled = namer.name(Sighting(route.name, record.path, record.fingerprint), SettleReason.QUIET, None)
    stays = settled.refusal or (destination.place, settled.key) == (record.place, record.key)
    return "" if stays else url_of(config, route.destination, settled.key)


def _stat(place: RoutePosition) -> os.stat_result | None:
    try:
        return os.stat(place.absolute, follow_symlinks=place.route.symlinks == "follow_inside")  # noqa: PTH116 - bytes
    except OSError:
        return None


def _left_out(place: RoutePosition) -> bool:
    from crosshaul.discovery.scanner import Scanner  # noqa: PLC0415 - --help does without pathspec and pydantic

    selection = Scanner(place.route).selection
    return not (selection.takes(place.relative) and all(map(selection.enters, _parents(place.relative))))


def _parents(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path
