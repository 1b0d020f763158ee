"""`crosshaul check`: tries each step from Account A's credentials to Account B's bucket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.options import (
    check_destinations,
    config_path_option,
    destination_names,
    json_option,
    load_config,
    print_warnings,
)
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from pathlib import Path

    from crosshaul.config import Config
    from crosshaul.trust.findings import Finding

_HELP = """Try each step from Account A's credentials to Account B's bucket. Report what is missing, and who can fix it.

For each destination: the caller's identity; AssumeRole; AssumeRole without the external ID, which must be refused; an
upload and its download; a multipart upload; the capabilities of the store and the session; and this machine's
directories. The check writes one object, `.crosshaul/check` under the prefix, and leaves it there. If another program's
object has that key, the check leaves that object alone and uses `.crosshaul/check-1`, and so on.

Examples:
  crosshaul check
  crosshaul check --destination partner --json | jq .destinations.partner.ok

Exit codes:
  0  no problem (there may be warnings)
  1  a problem was found; the output says who can fix it
  2  bad usage, or invalid configuration
"""


@click.command(cls=Verb, help=_HELP)
@config_path_option
@click.option(
    "--destination",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=destination_names,
    help="Only this destination; may be repeated.",
)
@json_option
@click.option("--no-confused-deputy", is_flag=True, help="Don't try the role without the external ID.")
@click.pass_context
def command(
    context: click.Context, config_path: Path, *, names: tuple[str, ...], as_json: bool, no_confused_deputy: bool
) -> None:
    """Check the destinations."""
    config = load_config(config_path)
    print_warnings(config, config_path)
    check_destinations(config, names)
    findings = asyncio.run(_check(config, names, test_confused_deputy=not no_confused_deputy, as_json=as_json))
    ok = {name: all(one.outcome != "fail" for one in of_name) for name, of_name in findings.items()}
    if as_json:
        click.echo(json.dumps({"ok": all(ok.values()), "destinations": _json(findings, ok)}, indent=2))
    context.exit(0 if all(ok.values()) else 1)


async def _check(
    config: Config, names: tuple[str, ...], *, test_confused_deputy: bool, as_json: bool
) -> dict[str, list[Finding]]:
    """Return the findings by destination; print each as it comes, unless ``as_json``."""
    from crosshaul.cli.findings import FindingPrinter  # noqa: PLC0415 - --help does without rich
    from crosshaul.service.check import check  # noqa: PLC0415 - --help does without the AWS libraries

    findings: dict[str, list[Finding]] = {}
    printer = None if as_json else FindingPrinter()
    async for name, finding in check(config, names, test_confused_deputy=test_confused_deputy):
        findings.setdefault(name, []).append(finding)
        if printer is not None:
            printer.show(name, finding)
    return findings


def _json(findings: dict[str, list[Finding]], ok: dict[str, bool]) -> dict[str, Any]:
    return {
        name: {"ok": ok[name], "findings": [one.as_json() for one in of_name]} for name, of_name in findings.items()
    }
