"""`crosshaul push`: delivers the present files once, with a progress bar on a terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.options import check_routes, config_option, json_option, route_names
from crosshaul.cli.paths import place_of, url_of
from crosshaul.cli.progress import progress_display
from crosshaul.cli.push_report import problem_lines, summary_json, summary_sentence
from crosshaul.cli.retargets import retargets_of
from crosshaul.cli.verb import Verb
from crosshaul.display import printable, text
from crosshaul.errors import StoppedError
from crosshaul.model import PushSummary, Settled

if TYPE_CHECKING:
    from crosshaul.config import Config

_LOG_FLUSH_SECONDS = 2.0


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
@click.option(
    "--dry-run", is_flag=True, help="Only print which files would be sent where. Sends nothing, does not call AWS."
)
@json_option
@click.pass_context
def command(context: click.Context, config: Config, routes: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Deliver the files that are in the routes' directories now, then exit: for cron, and for a first try.

    Waits for files that are still being written, up to settle.max_wait. Skips files that are delivered and have not
    changed since. Files that could not be delivered stay queued for the next time. A terminal shows a progress bar with
    rate and time left. --json prints the totals and, in the form of `crosshaul list --json`, each file that was not
    delivered; with --dry-run it prints a line for each file.

    Examples:
      crosshaul push -c config.yaml --dry-run
      crosshaul push -c config.yaml --route exports

    Exit codes:
      0  all delivered (--dry-run: all would be sent)
      1  some were not delivered; stderr has a line for each, or one for a destination that accepts no files
      2  bad usage, or the configuration or state_dir can't be used
      4  a daemon, or another push, holds state_dir
     75  state_dir can't be used at the moment (full, read-only): try again later
    130  Ctrl-C, and 143 SIGTERM: stopped; the next push continues
    """
    check_routes(config, routes)
    context.exit(_preview(config, routes, as_json=as_json) if dry_run else _push(config, routes, as_json=as_json))


def _preview(config: Config, routes: tuple[str, ...], *, as_json: bool) -> int:
    """Print where each file would be sent; return the exit code."""
    from crosshaul.service.preview import preview  # noqa: PLC0415 - --help does without the AWS libraries

    _configure_log(config)
    refused = 0
    for retarget in retargets_of(config):
        click.echo(f"crosshaul: {printable(str(retarget))}", err=True)
    for settled in asyncio.run(preview(config, routes)):
        refused += settled.refusal is not None
        click.echo(json.dumps(_preview_json(config, settled)) if as_json else _preview_line(config, settled))
    return 1 if refused else 0


def _preview_line(config: Config, settled: Settled) -> str:
    place = place_of(config, settled.sighting.route, settled.sighting.path)
    if settled.refusal:
        return f"{place}: refused: {printable(settled.refusal.message)}"
    return f"{place} -> {url_of(config, settled.destination, settled.key)}"


def _preview_json(config: Config, settled: Settled) -> dict[str, Any]:
    return {
        "route": settled.sighting.route,
        "path": text(settled.sighting.path),
        "size": settled.sighting.fingerprint.size,
        "destination": settled.destination,
        "bucket": config.destinations[settled.destination].bucket,
        "key": settled.key or None,
        "refused": settled.refusal.message if settled.refusal else None,
    }


def _push(config: Config, routes: tuple[str, ...], *, as_json: bool) -> int:
    """Push, and print the report; return the exit code."""
    from crosshaul.service.push import push  # noqa: PLC0415 - --help does without the AWS libraries

    with progress_display() as display:
        _configure_log(config)
        summary = _run(push(config, routes, display))
    click.echo(json.dumps(summary_json(summary), indent=2) if as_json else summary_sentence(summary))
    for line in problem_lines(config, summary):
        click.echo(f"crosshaul: {line}", err=True)
    return 1 if summary.failed or summary.left_out else 0


def _run(push: Coroutine[Any, Any, PushSummary]) -> PushSummary:
    """Run the push, and write its log before the report. After a signal no stuck reader may delay the exit."""
    from crosshaul.service.shutdown import flushing_log  # noqa: PLC0415 - as above
    from crosshaul.telemetry import logs  # noqa: PLC0415 - as above

    try:
        return asyncio.run(push)
    except (StoppedError, KeyboardInterrupt):
        with flushing_log():
            raise
    finally:
        logs.flush(_LOG_FLUSH_SECONDS)


def _configure_log(config: Config) -> None:
    """Log warnings only, since the bar and the report show deliveries; keep a level that is not the default."""
    from crosshaul.telemetry import logs  # noqa: PLC0415 - --help does without structlog

    logs.configure("warning" if config.log.level == "info" else config.log.level, config.log.format)
