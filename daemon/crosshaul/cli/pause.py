"""`crosshaul pause`: routes send nothing for now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import check_routes, config_option
from crosshaul.cli.verb import Verb
from crosshaul.cli.words import paused_now
from crosshaul.control_socket import ask

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
@click.option("--route", "routes", multiple=True, metavar="NAME", help="This route; may be given again.")
def command(config: Config, routes: tuple[str, ...]) -> None:
    """Have the running daemon send nothing more of these routes, or of all.

    What is being sent is sent to its end. Files are still found and queued, and go when they are resumed (`crosshaul
    resume`). A daemon that is started anew sends everything again.

    Examples:
      crosshaul pause
      crosshaul pause --route exports

    Exit codes:
      0  done
      1  no daemon is running
      2  bad usage (no such route), or bad configuration
    """
    answer = ask(config.state_dir, {"do": "pause", "routes": check_routes(config, routes)})
    click.echo(paused_now(answer["paused"]))
