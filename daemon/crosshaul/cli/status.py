"""`crosshaul status`: how much is delivered, what waits, and whether anything is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import looked_into
from crosshaul.cli.options import config_option, json_option, seconds
from crosshaul.cli.snapshot import gathered
from crosshaul.cli.verb import Verb
from crosshaul.display import printable
from crosshaul.service.control_socket import ask
from crosshaul.telemetry.health import healthy

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@json_option
@click.option("--watch", "again", is_flag=True, help="Again every second, until Ctrl-C.")
@click.option("--healthy", "ask_health", is_flag=True, help="Only whether files get through, as the exit code.")
@click.option("--live", "ask_life", is_flag=True, help="Only whether a daemon moves, as the exit code.")
@click.option(
    "--max-age",
    metavar="TIME",
    callback=seconds,
    default="15m",
    show_default=True,
    help="How old a waiting file may be.",
)
@click.pass_context
def command(
    context: click.Context,
    config: Config,
    *,
    as_json: bool,
    again: bool,
    ask_health: bool,
    ask_life: bool,
    max_age: float,
) -> None:
    """Show counts, the age of the oldest pending file, the destinations' credentials and the watchers' health.

    Reads the journal, so it works with the daemon up or down; the daemon serves the same facts as /status.json.
    `pending` counts what is on its way and not being sent right now. With --watch a terminal shows rate, time left and
    what is being sent as well; --watch --json prints a line each second. --live asks the daemon itself: it is what a
    restart cures, and says nothing of the partner; --healthy is for people and monitors.

    Examples:
      crosshaul status
      crosshaul status --watch
      crosshaul status --json | jq .pending
      crosshaul status --healthy --max-age 1h || page-somebody

    Exit codes:
      0  shown, whatever it says; with --healthy: files get through; with --live: a daemon runs, and moves
      1  with --healthy, --live: it is not so; a line for each reason
      2  bad configuration, or the journal can't be read
    """
    if ask_life:
        context.exit(_told(ask(config.state_dir, {"do": "live"})["reasons"]))
    if again and not ask_health:
        from crosshaul.cli.live import watch  # noqa: PLC0415 - without rich where nothing is shown

        watch(config, as_json=as_json)
        return
    with looked_into(config.state_dir) as reader:
        facts = gathered(config, reader)
    if ask_health:
        context.exit(_told(healthy(facts, max_age).reasons))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    from crosshaul.cli.tables import show  # noqa: PLC0415 - without rich where nothing is shown

    show(facts, nothing_yet=reader is None, state_dir=config.state_dir)


def _told(reasons: Sequence[str]) -> int:
    """Tell what is wrong; 0 if nothing is."""
    for reason in reasons:
        click.echo(f"crosshaul: {printable(reason)}", err=True)
    return 1 if reasons else 0
