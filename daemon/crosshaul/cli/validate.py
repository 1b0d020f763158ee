"""`crosshaul validate`: checks the configuration offline."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import click

from crosshaul.cli.options import config_path_option, json_option, print_warnings
from crosshaul.cli.retargets import retargets_of
from crosshaul.cli.verb import Verb
from crosshaul.display import count, printable
from crosshaul.errors import ConfigError


@click.command(cls=Verb)
@config_path_option
@json_option
@click.pass_context
def command(context: click.Context, config_path: Path, *, as_json: bool) -> None:
    """Check the configuration without running anything or calling AWS.

    Reports all faults at once, each with file, line, key and what to write instead. Warns of configuration files that
    every user of the machine can change, and of routes that may replace each other's objects after their sources were
    deleted. If the journal can be read, it also lists the delivered files that this configuration sends again, to
    another address.

    Examples:
      crosshaul validate -c /etc/crosshaul/config.yaml && systemctl restart crosshaul
      crosshaul validate --json | jq -r .faults[]

    Exit codes:
      0  valid
      2  invalid; each fault is a line on stderr, with --json an element of .faults
    """
    from crosshaul.aws.proxy_and_ca_check import check_environment  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.config import load  # noqa: PLC0415 - as above

    try:
        config = load(config_path)
        check_environment(config, os.environ)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"valid": False, "faults": str(error).splitlines()}, indent=2))
        context.exit(error.exit_code)
    warnings = print_warnings(config, config_path)
    if as_json:
        names = {"routes": [route.name for route in config.routes], "destinations": list(config.destinations)}
        sent_again = [dataclasses.asdict(retarget) for retarget in retargets_of(config)]
        output = {"valid": True, "faults": [], "warnings": warnings, **names, "sent_again": sent_again}
        click.echo(json.dumps(output, indent=2))
        return
    routes, destinations = count(len(config.routes), "route"), count(len(config.destinations), "destination")
    click.echo(f"{config_path}: configuration is valid: {routes}, {destinations}")
    for retarget in retargets_of(config):
        click.echo(printable(f"{retarget}"))
