"""Writes policy documents as JSON, Terraform or CloudFormation: as one text, or as a file for each account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from crosshaul.trust.findings import Party
    from crosshaul.trust.merging import MergedDocument

DOCUMENTS = ("identity-policy", "trust-policy", "role-policy", "key-policy", "bucket-policy", "lifecycle")
ACCOUNTS = {"Account A": "account-a", "Account B": "account-b"}
_SUFFIXES = {"json": "json", "terraform": "tf", "cloudformation": "yaml"}


class PolicyOutput:
    """The output in one format. ``only`` is an account or a document, ``names`` are the chosen destinations."""

    def __init__(self, form: str, only: str | None, names: list[str], *, replace_bucket_policy: bool) -> None:
        self._form = form
        self._only = only
        self._names = names
        self._replace = replace_bucket_policy

    def text(self, documents: list[MergedDocument]) -> str:
        """Return all documents as one text, account by account."""
        if self._form == "json":
            return self._json(documents)
        texts = list(self.files(documents).values())
        if len(texts) > 1:
            click.echo(
                "crosshaul: the output has the parts of several accounts. --directory writes a file for each; "
                "--only and --destination choose one.",
                err=True,
            )
        return ("---\n" if self._form == "cloudformation" else "\n").join(texts)

    def files(self, documents: list[MergedDocument]) -> dict[str, str]:
        """Return a text by file name for each account that has documents; no partner gets another's."""
        groups: dict[tuple[Party, str], list[MergedDocument]] = {}
        for document in documents:
            groups.setdefault((document.party, document.account), []).append(document)
        parties = [party for party, _ in groups]
        texts = {}
        for (party, account), group in groups.items():
            suffix = f"-{account if account.isdigit() else group[0].first.name}" if parties.count(party) > 1 else ""
            texts[f"{ACCOUNTS[party.value]}{suffix}.{_SUFFIXES[self._form]}"] = self._account_text(group, party)
        return texts

    def write(self, directory: Path, documents: list[MergedDocument]) -> None:
        """Write the files into a directory. Raises a usage error if that fails."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in self.files(documents).items():
                (directory / name).write_text(text, "utf-8")
                click.echo(f"Wrote {directory / name}.")
        except OSError as error:
            raise click.BadParameter(f"{error.filename}: {error.strerror}.", param_hint="--directory") from None

    def _json(self, documents: list[MergedDocument]) -> str:
        from crosshaul.trust import rendering  # noqa: PLC0415 - --help does without pydantic

        if self._only not in DOCUMENTS:
            return json.dumps(rendering.as_json(documents, self._names), indent=2) + "\n"
        if len(documents) > 1:
            hint = f"{len(documents)} documents have this name; choose one with --destination."
            raise click.BadParameter(hint, param_hint="--only")
        return json.dumps(rendering.plain(documents[0].content()), indent=2) + "\n"

    def _account_text(self, documents: list[MergedDocument], party: Party) -> str:
        from crosshaul.config.yaml_document import dump  # noqa: PLC0415 - --help does without pydantic
        from crosshaul.trust.cloudformation import cloudformation  # noqa: PLC0415
        from crosshaul.trust.terraform import terraform  # noqa: PLC0415

        if self._form == "json":
            return self._json(documents)
        if self._form == "terraform":
            return terraform(documents, party, replace_bucket_policy=self._replace)
        return dump(cloudformation(documents, party, replace_bucket_policy=self._replace))
