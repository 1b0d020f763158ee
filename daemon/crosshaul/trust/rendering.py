"""Render the documents as JSON, and helpers for Terraform and CloudFormation. Pure.

An unknown or secret value becomes a variable or parameter of the language; in JSON it becomes text in angle brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from crosshaul.config import Destination
from crosshaul.display import printable
from crosshaul.trust.documents import Variable
from crosshaul.trust.findings import Party
from crosshaul.trust.merging import MergedDocument

_MIN_SESSION_SECONDS = 3600
MERGE = "Merge this by hand into the existing configuration. Do not replace that."
REPLACES = "WARNING: this replaces the ENTIRE existing configuration. Use it only for a bucket that has none."


def variables(value: object) -> Iterator[Variable]:
    """Yield every variable in a document."""
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from variables(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from variables(item)


def substitute(value: Any, put: Callable[[Variable], Any], text: Callable[[str], Any] = str) -> Any:  # noqa: ANN401 - JSON
    """Replace each variable in ``value`` by ``put(variable)``, and each string by ``text(string)``."""
    match value:
        case Variable():
            return put(value)
        case str():
            return text(value)
        case Mapping():
            return {key: substitute(item, put, text) for key, item in value.items()}
        case list() | tuple():
            return [substitute(item, put, text) for item in value]
        case _:
            return value


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in JSON's types."""
    return dict(substitute(content, lambda variable: f"<{variable.description}>"))


def as_json(documents: Iterable[MergedDocument], names: Iterable[str]) -> dict[str, Any]:
    """Return destination -> account -> document with reasons; a shared document appears in each destination."""
    result: dict[str, Any] = {name: {} for name in names}
    for merged in documents:
        document = merged.document
        reasons = {statement.sid: statement.reason for statement in document.statements}
        whole = {"reason": document.reason, "reasons": reasons, "document": plain(document.content())}
        for to in merged.destinations:
            if to.name in result:
                result[to.name].setdefault(_account(document.party), {})[document.name] = whole
    return {name: accounts for name, accounts in result.items() if accounts}


def _account(party: Party) -> str:
    return "account_a" if party is Party.A else "account_b"


class Names:
    """Unique identifiers of a language for names, also for names that the language does not distinguish."""

    def __init__(self, to_identifier: Callable[[str], str]) -> None:
        self._to_identifier = to_identifier
        self._identifiers: dict[Hashable, str] = {}
        self._taken: set[tuple[str, str]] = set()

    def of(self, kind: str, name: str) -> str:
        """Return the identifier of a name, which is unique within ``kind``."""
        key = (kind, name)
        if key not in self._identifiers:
            base = unique = self._to_identifier(name)
            number = 1
            while (kind, unique.lower()) in self._taken:
                number += 1
                unique = f"{base}{number}"
            self._taken.add((kind, unique.lower()))
            self._identifiers[key] = unique
        return self._identifiers[key]


def identifier(name: str) -> str:
    """Convert a name to a Terraform identifier."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name if re.match("[A-Za-z]", name) else f"_{name}")


def camel(name: str) -> str:
    """Convert a name to a CloudFormation identifier."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def variables_of(documents: Iterable[MergedDocument]) -> list[Variable]:
    """List the variables of all documents without duplicates."""
    return list(dict.fromkeys(variable for merged in documents for variable in variables(merged.content())))


def as_comment(reason: str) -> str:
    """Put a reason, which may contain text of the configuration, on one printable line."""
    return printable(" ".join(reason.split()))


def role_of(destination: Destination) -> tuple[str, str]:
    """Return the path and the name of a destination's role."""
    *path, name = (destination.role_arn or "role/").split(":role/", 1)[-1].split("/")
    return "/" + "".join(f"{segment}/" for segment in path), name


def session_length(merged: MergedDocument) -> int:
    """Return the maximum session duration that the role needs, in seconds."""
    return max(_MIN_SESSION_SECONDS, *(to.duration_seconds for to in merged.destinations))
