"""`crosshaul validate`: the configuration, checked offline."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import click

from crosshaul.cli.options import config_path_option, json_option, warn_of_surroundings
from crosshaul.cli.retargets import going_again
from crosshaul.cli.verb import Verb
from crosshaul.display import count, printable
from crosshaul.errors import ConfigError


@click.command(cls=Verb)
@config_path_option
@json_option
@click.pass_context
def command(context: click.Context, config_path: Path, *, as_json: bool) -> None:
    """Check the configuration without running anything or asking AWS.

    Reports every fault at once, each with file, line, key and what to write instead. Files of the configuration that
    every user of the machine can change are told as warnings, and so are routes that may replace each other's objects
    whose sources are gone. Where the journal can be read it says as well which
    delivered files this configuration sends again, because it has them go elsewhere.

    Examples:
      crosshaul validate -c /etc/crosshaul/config.yaml && systemctl restart crosshaul
      crosshaul validate --json | jq -r .faults[]

    Exit codes:
      0  valid
      2  not valid; each fault is a line on stderr, with --json one of .faults
    """
    from crosshaul.aws.environment import check_surroundings  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.config import load  # noqa: PLC0415 - as above

    try:
        config = load(config_path)
        check_surroundings(config, os.environ)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"valid": False, "faults": str(error).splitlines()}, indent=2))
        context.exit(error.exit_code)
    warnings = warn_of_surroundings(config, config_path)
    if as_json:
        names = {"routes": [route.name for route in config.routes], "destinations": list(config.destinations)}
        again = [dataclasses.asdict(each) for each in going_again(config)]
        told = {"valid": True, "faults": [], "warnings": warnings, **names, "sent_again": again}
        click.echo(json.dumps(told, indent=2))
        return
    routes, destinations = count(len(config.routes), "route"), count(len(config.destinations), "destination")
    click.echo(f"{config_path}: configuration is valid: {routes}, {destinations}")
    for each in going_again(config):
        click.echo(printable(f"{each}"))
