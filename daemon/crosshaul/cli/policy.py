"""`crosshaul policy`: the policies that each account's admin has to apply, made from the configuration."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crosshaul.cli.options import check_destinations, config_option, destination_names
from crosshaul.cli.policy_output import ACCOUNTS, DOCUMENTS, PolicyOutput
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from crosshaul.config import Config, Destination
    from crosshaul.trust.documents import PolicyRequest, Variable
    from crosshaul.trust.merging import MergedDocument

_HELP = """Print the policies that the admin of each account has to apply for this configuration.

They allow what Crosshaul needs and nothing else. For Account A: the identity's policy. For Account B: the role's trust
policy and permissions, an addition to the KMS key's policy and, optionally, a bucket policy and a lifecycle rule. Each
statement comes with its reason. Nothing is applied. The external ID and unknown values become variables. Destinations
that share a role, a bucket or a key share its document.

Merge the documents for the bucket and the key by hand into the policies that these have now. Terraform and
CloudFormation output is for one account: choose it with --only, or write a file per account with --directory.

Examples:
  crosshaul policy
  crosshaul policy --only trust-policy --show-external-id > trust.json
  crosshaul policy --format terraform --only account-b > crosshaul.tf
  crosshaul policy --format cloudformation --directory for-the-admins

Exit codes:
  0  printed, or written
  2  bad usage, invalid configuration, or no document matches the options
"""


@dataclass(frozen=True, slots=True)
class _Options:
    """The command line, apart from the configuration."""

    form: str
    only: str | None
    name: str | None
    principal: str | None
    kms_key: str | None
    optional: bool
    replace_bucket_policy: bool
    directory: Path | None
    show_external_id: bool


@click.command(cls=Verb, help=_HELP)
@config_option
@click.option("--format", "form", type=click.Choice(["json", "terraform", "cloudformation"]), default="json")
@click.option(
    "--only", type=click.Choice([*ACCOUNTS.values(), *DOCUMENTS]), help="Only one account's documents, or one document."
)
@click.option("--destination", "name", metavar="NAME", shell_complete=destination_names, help="Only this destination.")
@click.option(
    "--principal", metavar="ARN", help="Account A's identity, or its 12 digits.  [default: from the credentials]"
)
@click.option("--kms-key", metavar="ARN", help="The key with which the bucket encrypts by default.")
@click.option("--optional", is_flag=True, help="Add the optional permissions: AbortMultipartUpload, ListParts.")
@click.option(
    "--replace-bucket-policy",
    is_flag=True,
    help="For a new bucket: print its policy and lifecycle as resources, which REPLACE the bucket's present ones.",
)
@click.option("--directory", type=click.Path(path_type=Path), help="Write one file per account into this directory.")
@click.option("--show-external-id", is_flag=True, help="Print the external ID in clear.")
def command(config: Config, **options: Any) -> None:  # noqa: ANN401 - click's values, typed by _Options
    """Print the policies."""
    chosen = _Options(**options)
    names = set(check_destinations(config, (chosen.name,) if chosen.name else ())) or set(config.destinations)
    documents = _documents(config, names, chosen)
    if not documents:
        hint = " Name the key with --kms-key ARN." if chosen.only == "key-policy" else ""
        message = f"there is no {chosen.only} for {', '.join(sorted(names))}.{hint}"
        raise click.BadParameter(message, param_hint="--only")
    if chosen.replace_bucket_policy:
        click.echo("crosshaul: WARNING: the output REPLACES all of the bucket's policy and lifecycle.", err=True)
    output = PolicyOutput(chosen.form, chosen.only, sorted(names), replace_bucket_policy=chosen.replace_bucket_policy)
    if chosen.directory is None:
        click.echo(output.text(documents), nl=False)
    else:
        output.write(chosen.directory, documents)


def _documents(config: Config, names: set[str], chosen: _Options) -> list[MergedDocument]:
    """Return the documents that the options choose."""
    from crosshaul.trust.merging import merge  # noqa: PLC0415 - --help does without pydantic

    principals = _principals(config, chosen.principal)
    external_ids = _external_ids(config, names, show=chosen.show_external_id)
    requests = [
        _request(config, destination, principals[name], external_ids[name], chosen)
        for name, destination in config.destinations.items()
    ]
    return [
        document
        for document in merge(requests)
        if names & {destination.name for destination in document.destinations}
        and chosen.only in {None, document.name, ACCOUNTS[document.party.value]}
    ]


def _request(
    config: Config,
    destination: Destination,
    principal: str | Variable,
    external_ids: tuple[str | Variable, ...],
    chosen: _Options,
) -> PolicyRequest:
    from crosshaul.config.rules import check_key_id  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.trust.documents import PolicyRequest  # noqa: PLC0415

    if chosen.kms_key is not None:
        try:
            check_key_id(chosen.kms_key, custom=destination.endpoint_url is not None, region=None)
        except ValueError as error:
            raise click.BadParameter(f"{error}.", param_hint="--kms-key") from None
    return PolicyRequest(
        destination,
        principal,
        external_ids,
        optional=chosen.optional,
        kms_key=chosen.kms_key,
        never_overwrites=_never_overwrites(config, destination),
    )


def _principals(config: Config, given: str | None) -> dict[str, str | Variable]:
    """Return Account A's identity for each destination: as given, else from STS, else a variable."""
    from crosshaul.errors import Fault  # noqa: PLC0415 - --help does without the rest
    from crosshaul.trust.documents import Variable  # noqa: PLC0415

    try:
        arn = given if given is not None else asyncio.run(_caller_arn(config))
        return {name: _principal(config, destination, arn) for name, destination in config.destinations.items()}
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--principal") from None
    except Fault as fault:
        reason = f"{fault.diagnosis.code} from {fault.diagnosis.operation}"
        click.echo(f"crosshaul: Account A's identity is unknown ({reason}); set it with --principal ARN.", err=True)
        unknown = Variable("account_a_principal", "the ARN of Account A's user or role")
        return dict.fromkeys(config.destinations, unknown)


def _principal(config: Config, destination: Destination, arn: str) -> str:
    from crosshaul.aws.session_policy import partition_of  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.trust.documents import principal_of  # noqa: PLC0415

    custom = destination.endpoint_url is not None or config.identity.sts_endpoint_url is not None
    return principal_of(arn, partition_of(destination), custom=custom)


async def _caller_arn(config: Config) -> str:
    from crosshaul.aws.base_credentials import BaseCredentials  # noqa: PLC0415 - only where no identity is given

    return (await BaseCredentials(config.identity).caller()).arn


def _external_ids(config: Config, names: set[str], *, show: bool) -> dict[str, tuple[str | Variable, ...]]:
    """Return each destination's external IDs; destinations with the same role and IDs share the variables."""
    shared: dict[object, tuple[str | Variable, ...]] = {}
    by_destination = {}
    for name, destination in config.destinations.items():
        unset = not destination.external_id and destination.external_id_file is None
        if destination.role_arn and name in names and unset:
            click.echo(
                f"crosshaul: destinations.{name}: external_id is not set. Agree on one with Account B, and set it.",
                err=True,
            )
        key = (destination.role_arn, destination.external_id, destination.external_id_file)
        if key not in shared:
            shared[key] = _external_ids_of(destination, show=show)
        by_destination[name] = shared[key]
    return by_destination


def _external_ids_of(destination: Destination, *, show: bool) -> tuple[str | Variable, ...]:
    from crosshaul.trust.documents import Variable  # noqa: PLC0415 - --help does without pydantic

    if destination.role_arn is None:
        return ()
    if show and (external_ids := destination.external_ids()):
        return external_ids
    description = "the external ID that both accounts agreed on"
    suffixes = [f"_{number}" if number else "" for number in range(max(1, len(destination.external_id)))]
    names = [f"external_id_{destination.name}{suffix}" for suffix in suffixes]
    return tuple(Variable(name, description, secret=True) for name in names)


def _never_overwrites(config: Config, destination: Destination) -> bool:
    routes = [route for route in config.routes if route.destination == destination.name]
    return bool(routes) and all(route.overwrite == "never" for route in routes)
