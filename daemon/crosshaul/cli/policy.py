"""`crosshaul policy`: what each account's admin has to apply, made from the configuration."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_option, destination_names
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from crosshaul.config import Config, Destination
    from crosshaul.trust.documents import Variable
    from crosshaul.trust.rendering import Plan

_PIECES = ("identity-policy", "trust-policy", "role-policy", "key-policy", "bucket-policy", "lifecycle")
_ACCOUNTS = ("account-a", "account-b")


@click.command(cls=Verb)
@config_option
@click.option("--format", "form", type=click.Choice(["json", "terraform", "cloudformation"]), default="json")
@click.option("--only", type=click.Choice([*_ACCOUNTS, *_PIECES]), help="One account's part, or one document.")
@click.option("--destination", "name", metavar="NAME", shell_complete=destination_names, help="This one only.")
@click.option("--principal", metavar="ARN", help="Account A's identity, or its 12 digits.  [default: who we are]")
@click.option("--kms-key", metavar="ARN", help="The key that the bucket encrypts with by itself.")
@click.option("--optional", is_flag=True, help="With the rights that are nice to have: Abort, ListParts.")
@click.option("--show-external-id", is_flag=True, help="Put the external ID in, in clear.")
def command(
    config: Config,
    *,
    form: str,
    only: str | None,
    name: str | None,
    principal: str | None,
    kms_key: str | None,
    optional: bool,
    show_external_id: bool,
) -> None:
    """Print the policies that the configuration needs, for the admin of each account, and no more than it needs.

    For Account A: the identity's policy. For Account B: the role's trust policy and permissions, what to add to the
    KMS key's policy, a bucket policy and a lifecycle rule to consider. Every statement comes with its reason. Nothing
    is applied. The external ID and what is not known are left open, as variables.

    Examples:
      crosshaul policy
      crosshaul policy --only trust-policy --show-external-id > trust.json
      crosshaul policy --format terraform --only account-b > crosshaul.tf
      crosshaul policy --format cloudformation --only account-b > crosshaul.yaml

    Exit codes:
      0  printed
      2  bad usage, or bad configuration
    """
    from crosshaul.trust.documents import Wish, pieces  # noqa: PLC0415 - --help does without pydantic

    chosen = _destinations(config, name)
    who = _principal(config, principal)
    plans: list[Plan] = []
    for to in chosen:
        wish = Wish(
            to,
            who,
            _external_ids(to, show=show_external_id),
            optional=optional,
            kms_key=kms_key,
            never_overwrites=_never_overwrites(config, to),
        )
        wanted = [each for each in pieces(wish) if only in {None, each.name} or only in _ACCOUNTS]
        plans.append((to, wanted))
    click.echo(_printed(plans, form, only), nl=False)


def _destinations(config: Config, name: str | None) -> list[Destination]:
    if name is not None and name not in config.destinations:
        known = ", ".join(config.destinations)
        raise click.BadParameter(f"there is no destination {name}; there are: {known}.", param_hint="--destination")
    return [to for to in config.destinations.values() if name in {None, to.name}]


def _principal(config: Config, given: str | None) -> str | Variable:
    """Account A's identity as given; else as STS knows it; else a variable."""
    from crosshaul.errors import Fault  # noqa: PLC0415 - --help does without the rest
    from crosshaul.trust.documents import Variable, principal_of  # noqa: PLC0415

    if given is not None:
        return principal_of(given)
    try:
        return principal_of(asyncio.run(_caller(config)))
    except Fault as fault:
        told = f"Account A's identity is left open ({fault.diagnosis.code} from {fault.diagnosis.operation})"
        click.echo(f"crosshaul: {told}; give it with --principal ARN.", err=True)
        return Variable("account_a_principal", "the ARN of Account A's user or role")


async def _caller(config: Config) -> str:
    from crosshaul.aws.chain import Chain  # noqa: PLC0415 - only where the identity isn't given

    return (await Chain(config.identity).caller()).arn


def _external_ids(to: Destination, *, show: bool) -> tuple[str | Variable, ...]:
    from crosshaul.trust.documents import Variable  # noqa: PLC0415 - --help does without pydantic

    if to.role_arn is None:
        return ()
    if show:
        found: tuple[str | Variable, ...] = to.external_ids()
        if found:
            return found
    if not to.external_id and to.external_id_file is None:
        told = f"destinations.{to.name}: no external_id is configured. Agree on one with Account B, and set it."
        click.echo(f"crosshaul: {told}", err=True)
    told = "the external ID that both accounts agreed on"
    number = max(1, len(to.external_id))
    names = [f"external_id_{to.name}".replace("-", "_") + (f"_{each}" if each else "") for each in range(number)]
    return tuple(Variable(each, told, secret=True) for each in names)


def _never_overwrites(config: Config, to: Destination) -> bool:
    routes = [route for route in config.routes if route.destination == to.name]
    return bool(routes) and all(route.overwrite == "never" for route in routes)


def _printed(plans: list[Plan], form: str, only: str | None) -> str:
    from crosshaul.trust import rendering  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.trust.findings import Party  # noqa: PLC0415

    parties = [Party.A, Party.B] if only not in _ACCOUNTS else [Party.A if only == "account-a" else Party.B]
    mine: list[Plan] = [(to, [each for each in found if each.party in parties]) for to, found in plans]
    if form == "json":
        several = [each for _, found in mine for each in found]
        one = rendering.plain(several[0].document()) if only in _PIECES and len(several) == 1 else None
        return json.dumps(one or rendering.as_json(mine), indent=2) + "\n"
    there = [party for party in parties if any(each.party is party for _, found in mine for each in found)]
    if form == "terraform":
        return "\n".join(rendering.terraform(mine, party) for party in there)
    from crosshaul.config.document import written  # noqa: PLC0415

    return "---\n".join(written(rendering.cloudformation(mine, party)) for party in there)
