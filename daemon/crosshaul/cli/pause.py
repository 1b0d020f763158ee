"""`crosshaul pause`: routes send nothing for now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import check_routes, config_option, json_option, route_names
from crosshaul.cli.verb import Verb
from crosshaul.service.control_socket import ask

if TYPE_CHECKING:
    from crosshaul.config import Config


routes_option = click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="NAME",
    shell_complete=route_names,
    help="This route; may be given again.",
)


@click.command(cls=Verb)
@config_option
@routes_option
@json_option
def command(config: Config, routes: tuple[str, ...], *, as_json: bool) -> None:
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
    order("pause", config, routes, as_json=as_json)


def order(what: str, config: Config, routes: tuple[str, ...], *, as_json: bool) -> None:
    """Have the daemon pause or resume routes, and tell which are paused then."""
    answer = ask(config.state_dir, {"do": what, "routes": check_routes(config, routes)})
    click.echo(json.dumps({"paused": answer["paused"]}) if as_json else _sentence(answer["paused"]))


def _sentence(paused: Sequence[str]) -> str:
    return f"Paused: {', '.join(paused)}." if paused else "No route is paused."
