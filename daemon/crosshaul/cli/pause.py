"""`crosshaul pause`: pauses routes of the running daemon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import check_routes, config_option, json_option, route_names
from crosshaul.cli.verb import Verb
from crosshaul.service.control_socket import send_request

if TYPE_CHECKING:
    from crosshaul.config import Config


routes_option = click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="NAME",
    shell_complete=route_names,
    help="Only this route; may be repeated.",
)


@click.command(cls=Verb)
@config_option
@routes_option
@json_option
def command(config: Config, routes: tuple[str, ...], *, as_json: bool) -> None:
    """Pause all routes of the running daemon, or those given by --route.

    Uploads in progress are finished. Files are still found and queued; `crosshaul resume` sends them. A restart ends
    the pause.

    Examples:
      crosshaul pause
      crosshaul pause --route exports

    Exit codes:
      0  paused
      1  no daemon is running
      2  bad usage (unknown route), or invalid configuration
    """
    send_order("pause", config, routes, as_json=as_json)


def send_order(verb: str, config: Config, routes: tuple[str, ...], *, as_json: bool) -> None:
    """Tell the daemon to pause or resume routes, and print the paused ones."""
    answer = send_request(config.state_dir, {"do": verb, "routes": check_routes(config, routes)})
    click.echo(json.dumps({"paused": answer["paused"]}) if as_json else _sentence(answer["paused"]))


def _sentence(paused: Sequence[str]) -> str:
    return f"Paused: {', '.join(paused)}." if paused else "No route is paused."
