"""`crosshaul push`: one pass, with a progress bar on a terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.options import check_routes, config_option, json_option, route_names
from crosshaul.cli.paths import place_of, url_of
from crosshaul.cli.progress_display import watching
from crosshaul.cli.records import facts_of
from crosshaul.cli.retargets import going_again
from crosshaul.cli.verb import Verb
from crosshaul.display import count, duration, printable, size, text
from crosshaul.errors import FaultKind, StoppedError
from crosshaul.model import PushSummary, Record, Settled

if TYPE_CHECKING:
    from crosshaul.config import Config

_SHOWN = 20
"""Failed files told one by one."""
_LOG_WRITTEN_WITHIN = 2.0
"""Seconds; what is in the way of the log is in the way of the rest, too."""
_NO_FILES_FAULT = frozenset({FaultKind.DESTINATION, FaultKind.EXPIRED, FaultKind.NETWORK, FaultKind.THROTTLED})
"""Of these all files of a destination suffer alike, and a line for each of them would tell nothing more."""


@click.command(cls=Verb)
@config_option
@click.option(
    "--route",
    "routes",
    metavar="NAME",
    multiple=True,
    shell_complete=route_names,
    help="Only this route; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go where. Sends nothing, asks AWS nothing.")
@json_option
@click.pass_context
def command(context: click.Context, config: Config, routes: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Deliver what is in the routes' directories now, then end: for cron, and for a first try.

    Files that are still being written are waited for, within settle.max_wait. What the journal says is delivered, and
    has not changed since, is not sent again. Files that could not be delivered stay in the journal for the next time.
    A terminal is shown a progress bar with rate and time left. --json prints the figures and each file that was not
    delivered, as `crosshaul list --json` has it; with --dry-run a line for each file.

    Examples:
      crosshaul push -c config.yaml --dry-run
      crosshaul push -c config.yaml --route exports

    Exit codes:
      0  all delivered (--dry-run: all would go)
      1  some not; stderr says why, in a line for each file, or for each destination that takes none
      2  bad usage, or the configuration or state_dir can't be used
      4  a daemon, or another push, holds state_dir
     75  state_dir can't be used at the moment (full, read-only): try again later
    130  Ctrl-C, and 143 SIGTERM: stopped; the next push goes on from there
    """
    check_routes(config, routes)
    context.exit(_preview(config, routes, as_json=as_json) if dry_run else _push(config, routes, as_json=as_json))


def _preview(config: Config, routes: tuple[str, ...], *, as_json: bool) -> int:
    from crosshaul.service.push import preview  # noqa: PLC0415 - --help does without the AWS libraries

    _log(config)
    refused = 0
    for each in going_again(config):
        click.echo(f"crosshaul: {printable(str(each))}", err=True)
    for settled in asyncio.run(preview(config, routes)):
        refused += settled.refusal is not None
        click.echo(json.dumps(_preview_facts(config, settled)) if as_json else _preview_line(config, settled))
    return 1 if refused else 0


def _preview_line(config: Config, settled: Settled) -> str:
    place = place_of(config, settled.sighting.route, settled.sighting.path)
    if settled.refusal:
        return f"{place}: refused: {printable(settled.refusal.message)}"
    return f"{place} -> {url_of(config, settled.destination, settled.key)}"


def _preview_facts(config: Config, settled: Settled) -> dict[str, Any]:
    destination = config.destinations[settled.destination]
    return {
        "route": settled.sighting.route,
        "path": text(settled.sighting.path),
        "size": settled.sighting.fingerprint.size,
        "destination": settled.destination,
        "bucket": destination.bucket,
        "key": settled.key or None,
        "refused": settled.refusal.message if settled.refusal else None,
    }


def _push(config: Config, routes: tuple[str, ...], *, as_json: bool) -> int:
    from crosshaul.service.push import push  # noqa: PLC0415 - --help does without the AWS libraries

    with watching() as watch:
        _log(config)
        summary = _carried_out(push(config, routes, watch))
    click.echo(json.dumps(_facts(summary), indent=2) if as_json else _sentence(summary))
    _tell_failed(config, summary.failed)
    for line in summary.left_out:
        click.echo(f"crosshaul: left out: {printable(line)}", err=True)
    for line in _staying(summary.staying):
        click.echo(f"crosshaul: {line}", err=True)
    return 1 if summary.failed or summary.left_out else 0


def _carried_out(pushing: Coroutine[Any, Any, PushSummary]) -> PushSummary:
    """Push, with the log written out before anything else is said; after a signal nobody has to read what is said."""
    from crosshaul.service.shutdown import last_words  # noqa: PLC0415 - as above
    from crosshaul.telemetry import logs  # noqa: PLC0415 - as above

    try:
        summary = asyncio.run(pushing)
    except (StoppedError, KeyboardInterrupt):
        with last_words():
            raise
    finally:
        logs.flush(_LOG_WRITTEN_WITHIN)
    return summary


def _log(config: Config) -> None:
    """The bar or the last line says what goes well; a debug log is wanted whole."""
    from crosshaul.telemetry import logs  # noqa: PLC0415 - --help does without structlog

    logs.configure("warning" if config.log.level == "info" else config.log.level, config.log.format)


def _facts(summary: PushSummary) -> dict[str, Any]:
    return {
        "delivered": summary.delivered,
        "delivered_bytes": summary.delivered_bytes,
        "unchanged": summary.unchanged,
        "seconds": round(summary.seconds, 3),
        "failed": [facts_of(record) for record in summary.failed],
        "left_out": list(summary.left_out),
        "staying": [facts_of(record) for record in summary.staying],
    }


def _sentence(summary: PushSummary) -> str:
    told = f"Delivered {count(summary.delivered, 'file')}"
    if summary.delivered:
        rate = size(summary.delivered_bytes / max(summary.seconds, 0.001))
        told += f" ({size(summary.delivered_bytes)}) in {duration(summary.seconds)}, {rate}/s"
    if summary.unchanged:
        told += f"; {summary.unchanged:,} {'was' if summary.unchanged == 1 else 'were'} there already"
    if summary.failed:
        told += f"; {count(len(summary.failed), 'file')} not delivered"
    return f"{told}."


def _tell_failed(config: Config, failed: tuple[Record, ...]) -> None:
    held_up, others = _held_up(failed)
    for records in held_up:
        click.echo(f"crosshaul: {_of_the_destination(config, records)}", err=True)
    for record in others[:_SHOWN]:
        why = record.diagnosis.line() if record.diagnosis else f"it is {record.state}"
        click.echo(f"crosshaul: {place_of(config, record.route, record.path)}: {printable(why)}", err=True)
    if len(others) > _SHOWN:
        click.echo(f"crosshaul: and {len(others) - _SHOWN:,} more: see `crosshaul list`", err=True)


def _staying(records: Iterable[Record]) -> Iterator[str]:
    """A line for each reason why sources of a route stay."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for record in records:
        message = printable(record.diagnosis.message if record.diagnosis else "")
        path, _, why = message.partition(": ")
        reasons.setdefault((record.route, why), []).append(path)
    for (route, why), paths in reasons.items():
        sources = "a source stays" if len(paths) == 1 else f"{count(len(paths), 'source')} stay, such as"
        yield f"route {route}: {sources} {paths[0]}: {why}"


def _held_up(failed: Iterable[Record]) -> tuple[list[list[Record]], list[Record]]:
    """Those that a destination held up, by destination and reason; and the others.

    A file that was not even tried waits behind whatever held up the first of its destination.
    """
    reasons: dict[tuple[str, str], list[Record]] = {}
    first: dict[str, list[Record]] = {}
    untried, others = [], []
    for record in failed:
        if record.diagnosis is None:
            untried.append(record)
        elif record.diagnosis.kind in _NO_FILES_FAULT:
            reason = reasons.setdefault((record.destination, record.diagnosis.code), [])
            reason.append(record)
            first.setdefault(record.destination, reason)
        else:
            others.append(record)
    for record in untried:
        first.get(record.destination, others).append(record)
    return list(reasons.values()), others


def _of_the_destination(config: Config, records: list[Record]) -> str:
    head = records[0]
    why = head.diagnosis.line() if head.diagnosis else ""
    wait = f"{count(len(records), 'file')} {'waits:' if len(records) == 1 else 'wait, such as'}"
    place = place_of(config, head.route, head.path)
    return f"destination {head.destination}: {printable(why)} {wait} {place}"
