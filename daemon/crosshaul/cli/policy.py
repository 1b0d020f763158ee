"""`crosshaul policy`: what each account's admin has to apply, made from the configuration."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_option, destination_names
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from crosshaul.config import Config, Destination
    from crosshaul.trust.documents import PolicyRequest, Variable
    from crosshaul.trust.findings import Party
    from crosshaul.trust.merging import MergedDocument

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
@click.option(
    "--replace-bucket-policy",
    is_flag=True,
    help="For a new bucket: its policy and lifecycle as resources, which replace whatever there is.",
)
@click.option("--directory", type=click.Path(path_type=Path), help="Write each account's part into a file there.")
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
    replace_bucket_policy: bool,
    directory: Path | None,
    show_external_id: bool,
) -> None:
    """Print the policies that the configuration needs, for the admin of each account, and no more than it needs.

    For Account A: the identity's policy. For Account B: the role's trust policy and permissions, what to add to the
    KMS key's policy, a bucket policy and a lifecycle rule to consider. Every statement comes with its reason. Nothing
    is applied. The external ID and what is not known are left open, as variables. Destinations that share a role, a
    bucket or a key share its document.

    What the bucket and the key have already stays: their documents are to be merged by hand. Terraform and
    CloudFormation are for one account: --directory writes a file for each, and with several partners for each partner.

    Examples:
      crosshaul policy
      crosshaul policy --only trust-policy --show-external-id > trust.json
      crosshaul policy --format terraform --only account-b > crosshaul.tf
      crosshaul policy --format cloudformation --directory for-the-admins

    Exit codes:
      0  printed, or written
      2  bad usage, bad configuration, or nothing of what was asked for
    """
    from crosshaul.trust.merging import merged  # noqa: PLC0415 - --help does without pydantic

    chosen = {to.name for to in _destinations(config, name)}
    who = _principals(config, principal)
    ids = _external_ids(config, chosen, show=show_external_id)
    wishes = [
        _wish(config, to, who[to.name], ids[to.name], optional=optional, kms_key=kms_key)
        for to in config.destinations.values()
    ]
    plans = [each for each in merged(wishes) if chosen & {to.name for to in each.destinations}]
    wanted = [each for each in plans if _is_wanted(each, only)]
    if not wanted:
        hint = " Give the key with --kms-key ARN." if only == "key-policy" else ""
        raise click.BadParameter(f"there is no {only} for {', '.join(sorted(chosen))}.{hint}", param_hint="--only")
    if replace_bucket_policy:
        told = "the bucket's policy and lifecycle are printed as what replaces ALL that the bucket has of them."
        click.echo(f"crosshaul: WARNING: {told}", err=True)
    form_of = _Form(form, only, sorted(chosen), replace_bucket_policy=replace_bucket_policy)
    if directory is None:
        click.echo(form_of.whole(wanted), nl=False)
    else:
        _write(directory, form_of.files(wanted))


def _wish(
    config: Config,
    to: Destination,
    who: str | Variable,
    ids: tuple[str | Variable, ...],
    *,
    optional: bool,
    kms_key: str | None,
) -> PolicyRequest:
    from crosshaul.config.rules import check_key_id  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.trust.documents import PolicyRequest  # noqa: PLC0415

    if kms_key is not None:
        try:
            check_key_id(kms_key, custom=to.endpoint_url is not None, region=None)
        except ValueError as error:
            raise click.BadParameter(f"{error}.", param_hint="--kms-key") from None
    never = _never_overwrites(config, to)
    return PolicyRequest(to, who, ids, optional=optional, kms_key=kms_key, never_overwrites=never)


def _is_wanted(plan: MergedDocument, only: str | None) -> bool:
    return only in {None, plan.piece.name, _ACCOUNT_OF[plan.piece.party.value]}


_ACCOUNT_OF = {"Account A": "account-a", "Account B": "account-b"}


def _destinations(config: Config, name: str | None) -> list[Destination]:
    if name is not None and name not in config.destinations:
        known = ", ".join(config.destinations)
        raise click.BadParameter(f"there is no destination {name}; there are: {known}.", param_hint="--destination")
    return [to for to in config.destinations.values() if name in {None, to.name}]


def _principals(config: Config, given: str | None) -> dict[str, str | Variable]:
    """Account A's identity for each destination: as given; else as STS knows it; else a variable."""
    from crosshaul.errors import Fault  # noqa: PLC0415 - --help does without the rest
    from crosshaul.trust.documents import Variable  # noqa: PLC0415

    try:
        found = given if given is not None else asyncio.run(_caller(config))
        return {to.name: _principal(config, to, found) for to in config.destinations.values()}
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--principal") from None
    except Fault as fault:
        told = f"Account A's identity is left open ({fault.diagnosis.code} from {fault.diagnosis.operation})"
        click.echo(f"crosshaul: {told}; give it with --principal ARN.", err=True)
        unknown = Variable("account_a_principal", "the ARN of Account A's user or role")
        return dict.fromkeys(config.destinations, unknown)


def _principal(config: Config, to: Destination, arn: str) -> str:
    from crosshaul.aws.session_policy import partition_of  # noqa: PLC0415 - --help does without pydantic
    from crosshaul.trust.documents import principal_of  # noqa: PLC0415

    custom = to.endpoint_url is not None or config.identity.sts_endpoint_url is not None
    return principal_of(arn, partition_of(to), custom=custom)


async def _caller(config: Config) -> str:
    from crosshaul.aws.base_credentials import BaseCredentials  # noqa: PLC0415 - only where the identity isn't given

    return (await BaseCredentials(config.identity).caller()).arn


def _external_ids(config: Config, chosen: set[str], *, show: bool) -> dict[str, tuple[str | Variable, ...]]:
    """Those of each destination; destinations that share a role and what it demands share the variables, too."""
    shared: dict[object, tuple[str | Variable, ...]] = {}
    found = {}
    for to in config.destinations.values():
        if to.role_arn and to.name in chosen and not to.external_id and to.external_id_file is None:
            told = f"destinations.{to.name}: no external_id is configured. Agree on one with Account B, and set it."
            click.echo(f"crosshaul: {told}", err=True)
        same = (to.role_arn, to.external_id, to.external_id_file)
        if same not in shared:
            shared[same] = _external_ids_of(to, show=show)
        found[to.name] = shared[same]
    return found


def _external_ids_of(to: Destination, *, show: bool) -> tuple[str | Variable, ...]:
    from crosshaul.trust.documents import Variable  # noqa: PLC0415 - --help does without pydantic

    if to.role_arn is None:
        return ()
    if show and (known := to.external_ids()):
        return known
    told = "the external ID that both accounts agreed on"
    names = [f"external_id_{to.name}" + (f"_{each}" if each else "") for each in range(max(1, len(to.external_id)))]
    return tuple(Variable(each, told, secret=True) for each in names)


def _never_overwrites(config: Config, to: Destination) -> bool:
    routes = [route for route in config.routes if route.destination == to.name]
    return bool(routes) and all(route.overwrite == "never" for route in routes)


_SUFFIX = {"json": "json", "terraform": "tf", "cloudformation": "yaml"}


class _Form:
    """How the documents are written."""

    def __init__(self, form: str, only: str | None, names: list[str], *, replace_bucket_policy: bool) -> None:
        self._form = form
        self._only = only
        self._names = names
        self._replace = replace_bucket_policy

    def whole(self, plans: list[MergedDocument]) -> str:
        """All in one text: one account's part after the other."""
        if self._form == "json":
            return self._json(plans)
        texts = list(self.files(plans).values())
        if len(texts) > 1:
            told = "the parts of several accounts follow each other; --directory gives each a file."
            told += " --only and --destination choose one."
            click.echo(f"crosshaul: {told}", err=True)
        return ("---\n" if self._form == "cloudformation" else "\n").join(texts)

    def files(self, plans: list[MergedDocument]) -> dict[str, str]:
        """Name of a file -> text, for each account that has a part; no partner reads another's."""
        texts = {}
        groups: dict[tuple[Party, str], list[MergedDocument]] = {}
        for plan in plans:
            groups.setdefault((plan.piece.party, plan.account), []).append(plan)
        parties = [party for party, _ in groups]
        for (party, account), mine in groups.items():
            told = f"-{account if account.isdigit() else mine[0].first.name}" if parties.count(party) > 1 else ""
            texts[f"{_ACCOUNT_OF[party.value]}{told}.{_SUFFIX[self._form]}"] = self._of(mine, party)
        return texts

    def _json(self, plans: list[MergedDocument]) -> str:
        from crosshaul.trust import rendering  # noqa: PLC0415 - --help does without pydantic

        if self._only not in _PIECES:
            return json.dumps(rendering.as_json(plans, self._names), indent=2) + "\n"
        if len(plans) > 1:
            told = f"there are {len(plans)} documents of this name; say of which destination, with --destination."
            raise click.BadParameter(told, param_hint="--only")
        return json.dumps(rendering.plain(plans[0].piece.document()), indent=2) + "\n"

    def _of(self, plans: list[MergedDocument], party: Party) -> str:
        from crosshaul.config.yaml_document import dump  # noqa: PLC0415 - --help does without pydantic
        from crosshaul.trust.cloudformation import cloudformation  # noqa: PLC0415
        from crosshaul.trust.terraform import terraform  # noqa: PLC0415

        if self._form == "json":
            return self._json(plans)
        if self._form == "terraform":
            return terraform(plans, party, replace_bucket_policy=self._replace)
        return dump(cloudformation(plans, party, replace_bucket_policy=self._replace))


def _write(directory: Path, texts: dict[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, "utf-8")
            click.echo(f"Wrote {directory / name}.")
    except OSError as error:
        raise click.BadParameter(f"{error.filename}: {error.strerror}.", param_hint="--directory") from None
