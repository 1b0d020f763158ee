"""`crosshaul limit`: changes the bandwidth limit of the running daemon."""

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
@click.argument("rate", metavar="RATE|off|config")
def command(config: Config, rate: str) -> None:
    """Change the bandwidth limit of the running daemon, for all its destinations together.

    RATE is, for example, 5MiB/s. `off` removes the limit; `config` restores the configuration's. A restarted daemon
    uses the configuration's limit.

    Examples:
      crosshaul limit 5MiB/s
      crosshaul limit config

    Exit codes:
      0  done
      1  no daemon is running
      2  bad usage, or invalid configuration
    """
    send_request(config.state_dir, {"do": "limit", "bytes_per_second": _rate(rate)})
    click.echo(_SENTENCES.get(rate, f"The bandwidth limit is {rate} now."))


_SENTENCES = {
    "off": "The bandwidth is not limited now.",
    "config": "The configuration's bandwidth limit applies again.",
}


def _rate(text: str) -> int | str | None:
    """Return bytes per second, None for no limit, or ``config``."""
    from crosshaul.config.units import parse_rate  # noqa: PLC0415 - --help does without pydantic

    if text == "config":
        return text
    try:
        return parse_rate(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="RATE") from None
