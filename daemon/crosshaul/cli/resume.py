"""`crosshaul resume`: paused routes send again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_option, json_option
from crosshaul.cli.pause import order, routes_option
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@routes_option
@json_option
def command(config: Config, routes: tuple[str, ...], *, as_json: bool) -> None:
    """Have the running daemon send these routes again, or all.

    Examples:
      crosshaul resume
      crosshaul resume --route exports

    Exit codes:
      0  done
      1  no daemon is running
      2  bad usage (no such route), or bad configuration
    """
    order("resume", config, routes, as_json=as_json)
