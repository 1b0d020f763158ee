"""`crosshaul check`: the chain from Account A's credentials to Account B's bucket, tried step by step."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.options import config_path_option, destination_names, json_option, loaded, warn_of_surroundings
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from pathlib import Path

    from crosshaul.trust.findings import Finding


@click.command(cls=Verb)
@config_path_option
@click.option(
    "--destination",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=destination_names,
    help="This one only; may be given again.",
)
@json_option
@click.option("--no-confused-deputy", is_flag=True, help="Don't try the role without the external ID.")
@click.pass_context
def command(
    context: click.Context, config_path: Path, *, names: tuple[str, ...], as_json: bool, no_confused_deputy: bool
) -> None:
    """Walk from Account A's credentials to bytes in Account B's bucket, and say what is missing, and whose it is.

    Each destination in turn: whose credentials these are; AssumeRole; the same without the external ID, which has to be
    refused; an upload and its download; a multipart upload; what the store and the session are capable of; and this
    machine's directories. One object is written, `.crosshaul/check` under the prefix, and it stays;
    an object of that name that is not a check's is left alone.

    Examples:
      crosshaul check
      crosshaul check --destination partner --json | jq .destinations.partner.ok

    Exit codes:
      0  all is well (there may be notes)
      1  something is wrong; each finding says what, and who mends it
      2  bad usage, or bad configuration
    """
    from crosshaul.cli.findings import FindingPrinter  # noqa: PLC0415 - --help does without rich
    from crosshaul.service.check import check  # noqa: PLC0415 - --help does without the AWS libraries

    config = loaded(config_path)
    warn_of_surroundings(config, config_path)
    unknown = [name for name in names if name not in config.destinations]
    if unknown:
        known = ", ".join(config.destinations)
        raise click.BadParameter(
            f"there is no destination {unknown[0]}; there are: {known}.", param_hint="--destination"
        )
    found: dict[str, list[Finding]] = {}
    shown = None if as_json else FindingPrinter()

    async def walk() -> None:
        async for name, finding in check(config, names, deputy=not no_confused_deputy):
            found.setdefault(name, []).append(finding)
            if shown is not None:
                shown.show(name, finding)

    asyncio.run(walk())
    well = {name: all(each.verdict != "bad" for each in findings) for name, findings in found.items()}
    if as_json:
        click.echo(json.dumps({"ok": all(well.values()), "destinations": _as_json(found, well)}, indent=2))
    context.exit(0 if all(well.values()) else 1)


def _as_json(found: dict[str, list[Finding]], well: dict[str, bool]) -> dict[str, Any]:
    return {
        name: {"ok": well[name], "findings": [finding.as_json() for finding in findings]}
        for name, findings in found.items()
    }
