"""`crosshaul status`: how much is delivered, what is pending, and whether anything is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import journal_reader
from crosshaul.cli.options import config_option, json_option, seconds
from crosshaul.cli.snapshot import read_status
from crosshaul.cli.verb import Verb
from crosshaul.display import printable
from crosshaul.service.control_socket import send_request
from crosshaul.telemetry.health import healthy

if TYPE_CHECKING:
    from crosshaul.config import Config
    from crosshaul.journal import Reader

_HELP = """Show counts, the age of the oldest pending file, the destinations' credentials and the routes' watchers.

Reads the journal, so it works with or without a daemon; the daemon serves the same as /status.json. `pending` counts
the files that are to be sent and are not being uploaded now. On a terminal --watch also shows rate, time left and the
uploads; --watch --json prints a line each second.

--healthy is for people and monitoring: it fails while files are not delivered. --live is for liveness probes: it fails
if the daemon is stuck and has to be restarted, and does not depend on the partner's account.

Examples:
  crosshaul status
  crosshaul status --watch
  crosshaul status --json | jq .pending
  crosshaul status --healthy --max-age 1h || send-an-alert

Exit codes:
  0  shown; with --healthy: files are delivered; with --live: a daemon runs and is not stuck
  1  with --healthy: files are not delivered; with --live: no daemon runs, or it is stuck; a line for each reason
  2  invalid configuration, or the journal can't be read
"""


@click.command(cls=Verb, help=_HELP)
@config_option
@json_option
@click.option("--watch", "repeat", is_flag=True, help="Repeat every second, until Ctrl-C.")
@click.option(
    "--healthy",
    "only_healthy",
    is_flag=True,
    help="Print only problems; the exit code says whether files are delivered.",
)
@click.option(
    "--live",
    "only_live",
    is_flag=True,
    help="Print only problems; the exit code says whether a daemon runs and is not stuck.",
)
@click.option(
    "--max-age",
    metavar="TIME",
    callback=seconds,
    default="15m",
    show_default=True,
    help="For --healthy: the greatest age of a pending file.",
)
@click.pass_context
def command(
    context: click.Context,
    config: Config,
    *,
    as_json: bool,
    repeat: bool,
    only_healthy: bool,
    only_live: bool,
    max_age: float,
) -> None:
    """Show the status."""
    if only_live:
        context.exit(_print_reasons(send_request(config.state_dir, {"do": "live"})["reasons"]))
    if repeat and not only_healthy:
        from crosshaul.cli.status_watch import watch  # noqa: PLC0415 - without tables rich is not needed

        watch(config, as_json=as_json)
        return
    with journal_reader(config.state_dir) as reader:
        status = read_status(config, reader)
        staying = [] if as_json or only_healthy else list(_sources_staying(config, reader))
    if only_healthy:
        context.exit(_print_reasons(healthy(status, max_age).reasons))
    if as_json:
        click.echo(json.dumps(status, indent=2))
        return
    from crosshaul.cli.tables import show  # noqa: PLC0415 - without tables rich is not needed

    show(status, no_journal=reader is None, state_dir=config.state_dir)
    for line in staying:
        click.echo(printable(line))


def _sources_staying(config: Config, reader: Reader | None) -> Iterator[str]:
    """Yield a line for each route that has delivered files whose source stays, with one of them and the reason."""
    for route in config.routes:
        record = reader.first_not_removed(route.name) if reader is not None else None
        if record is not None and record.diagnosis is not None:
            yield f"Delivered files of route {route.name} stay, such as {record.diagnosis.message}"


def _print_reasons(reasons: Sequence[str]) -> int:
    """Print the reasons; return the exit code."""
    for reason in reasons:
        click.echo(f"crosshaul: {printable(reason)}", err=True)
    return 1 if reasons else 0
