"""`crosshaul limit`: how much of the line the running daemon may take."""

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
@click.argument("rate", metavar="RATE|off|config")
def command(config: Config, rate: str) -> None:
    """Have the running daemon send at most RATE, all its destinations together, until told otherwise.

    RATE is such as 5MiB/s. `off` lifts every limit; `config` goes back to the configuration's. A daemon that is
    started anew goes by the configuration.

    Examples:
      crosshaul limit 5MiB/s
      crosshaul limit config

    Exit codes:
      0  done
      1  no daemon is running
      2  bad usage, or bad configuration
    """
    ask(config.state_dir, {"do": "limit", "bytes_per_second": _rate(rate)})
    click.echo(_TOLD.get(rate, f"At most {rate} from now on."))


_TOLD = {"off": "No limit from now on.", "config": "The configuration's bandwidth is in force again."}


def _rate(text: str) -> int | str | None:
    """Bytes per second; None for no limit."""
    from crosshaul.config.units import parse_rate  # noqa: PLC0415 - --help does without pydantic

    if text == "config":
        return text
    try:
        return parse_rate(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="RATE") from None
