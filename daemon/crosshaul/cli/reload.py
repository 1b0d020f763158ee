"""`crosshaul reload`: makes the running daemon apply its changed configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_option
from crosshaul.cli.verb import Verb
from crosshaul.service.control_socket import send_request

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
def command(config: Config) -> None:
    """Make the running daemon apply its changed configuration file.

    Only destinations and routes that were added, changed or removed are started or stopped. The uploads of a changed
    one are finished first; all others continue. An invalid file changes nothing. SIGHUP does the same, and logs the
    result.

    Examples:
      crosshaul reload -c /etc/crosshaul/config.yaml

    Exit codes:
      0  applied
      1  refused, or no daemon is running; nothing has changed
      2  invalid configuration; nothing has changed
    """
    click.echo(send_request(config.state_dir, {"do": "reload"})["changes"])
