"""`crosshaul reload`: the running daemon reads its configuration again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_option
from crosshaul.cli.verb import Verb
from crosshaul.service.control_socket import ask

if TYPE_CHECKING:
    from crosshaul.config import Config


@click.command(cls=Verb)
@config_option
def command(config: Config) -> None:
    """Have the running daemon bring its configuration file, as it is now, into force.

    Destinations and routes come, change and go; the uploads of all others go on untouched, and those of one that
    changes end first. A file with a fault in it changes nothing. SIGHUP does the same, and tells it in the log.

    Examples:
      crosshaul reload -c /etc/crosshaul/config.yaml

    Exit codes:
      0  in force
      1  refused, or no daemon is running; nothing has changed
      2  bad configuration; nothing has changed
    """
    click.echo(ask(config.state_dir, {"do": "reload"})["told"])
