"""The documents as JSON, and what Terraform and CloudFormation have in common. Pure.

A value that is not known, or secret, becomes a variable of the language's own kind; in JSON a text in angle brackets.
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

_LEAST_SESSION = 3600
MERGE = "To merge by hand: applied in the place of what is there, it would take the rest away."
REPLACES = "WARNING: this takes the place of ALL that is there. Only for a bucket that has nothing of the kind."


def variables(value: object) -> Iterator[Variable]:
    """Every variable in a document."""
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from variables(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from variables(each)


def filled(value: Any, put: Callable[[Variable], Any], text: Callable[[str], Any] = str) -> Any:  # noqa: ANN401 - JSON
    """``value`` with ``put(variable)`` for each variable, and ``text`` of each string."""
    match value:
        case Variable():
            return put(value)
        case str():
            return text(value)
        case Mapping():
            return {key: filled(each, put, text) for key, each in value.items()}
        case list() | tuple():
            return [filled(each, put, text) for each in value]
        case _:
            return value


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """In JSON's types."""
    return dict(filled(document, lambda variable: f"<{variable.told}>"))


def as_json(plans: Iterable[MergedDocument], names: Iterable[str]) -> dict[str, Any]:
    """Destination -> account -> document, each with its reasons; what destinations share stands whole in each."""
    told: dict[str, Any] = {name: {} for name in names}
    for plan in plans:
        piece = plan.piece
        reasons = {each.sid: each.reason for each in piece.statements}
        whole = {"reason": piece.reason, "reasons": reasons, "document": plain(piece.document())}
        for to in plan.destinations:
            if to.name in told:
                told[to.name].setdefault(_account(piece.party), {})[piece.name] = whole
    return {name: accounts for name, accounts in told.items() if accounts}


def _account(party: Party) -> str:
    return "account_a" if party is Party.A else "account_b"


class Names:
    """Identifiers of a language for names of ours: each has one of its own, also where two would fold together."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._given: dict[Hashable, str] = {}
        self._taken: set[tuple[str, str]] = set()

    def of(self, kind: str, name: str) -> str:
        """The identifier for a name; the same one each time. ``kind`` is what has to be unique."""
        key = (kind, name)
        if key not in self._given:
            folded = found = self._fold(name)
            number = 1
            while (kind, found.lower()) in self._taken:
                number += 1
                found = f"{folded}{number}"
            self._taken.add((kind, found.lower()))
            self._given[key] = found
        return self._given[key]


def identifier(name: str) -> str:
    """A name in Terraform's letters."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name if re.match("[A-Za-z]", name) else f"_{name}")


def camel(name: str) -> str:
    """A name in CloudFormation's letters."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def needed(plans: Iterable[MergedDocument]) -> list[Variable]:
    """The variables of all documents, each once."""
    return list(dict.fromkeys(each for plan in plans for each in variables(plan.piece.document())))


def line(reason: str) -> str:
    """A reason as a comment: whatever a configuration put into it stays on its line."""
    return printable(" ".join(reason.split()))


def role_of(destination: Destination) -> tuple[str, str]:
    """The role's path and name."""
    *path, name = (destination.role_arn or "role/").split(":role/", 1)[-1].split("/")
    return "/" + "".join(f"{each}/" for each in path), name


def session_length(plan: MergedDocument) -> int:
    """How long the role's sessions have to be allowed to live."""
    return max(_LEAST_SESSION, *(each.duration_seconds for each in plan.destinations))
