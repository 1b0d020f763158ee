"""`crosshaul resume`: resumes paused routes of the running daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_option, json_option
from crosshaul.cli.pause import routes_option, send_order
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@routes_option
@json_option
def command(config: Config, routes: tuple[str, ...], *, as_json: bool) -> None:
    """Resume all paused routes of the running daemon, or those given by --route.

    Examples:
      crosshaul resume
      crosshaul resume --route exports

    Exit codes:
      0  resumed
      1  no daemon is running
      2  bad usage (unknown route), or invalid configuration
    """
    send_order("resume", config, routes, as_json=as_json)
