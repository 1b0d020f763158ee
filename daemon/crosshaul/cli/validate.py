"""`crosshaul validate`: the configuration, checked offline."""

from __future__ import annotations

from pathlib import Path

import click

from crosshaul.cli.options import config_path_option
from crosshaul.cli.verb import Verb
from crosshaul.telemetry.words import count


@click.command(cls=Verb)
@config_path_option
def command(config_path: Path) -> None:
    """Check the configuration without running anything or asking AWS.

    Reports every fault at once, each with file, line, key and what to write instead.

    Examples:
      crosshaul validate -c /etc/crosshaul/config.yaml && systemctl restart crosshaul

    Exit codes:
      0  valid
      2  not valid; each fault is a line on stderr
    """
    from crosshaul.config import load  # noqa: PLC0415 - --help does without pydantic

    config = load(config_path)
    routes, destinations = count(len(config.routes), "route"), count(len(config.destinations), "destination")
    click.echo(f"{config_path}: configuration is valid: {routes}, {destinations}")
