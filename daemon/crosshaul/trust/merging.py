"""Merge the documents of destinations that share a role, bucket or key. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crosshaul.config import Destination
from crosshaul.trust.documents import PolicyDocument, PolicyRequest, Statement, policy_documents
from crosshaul.trust.findings import Party

_RESOURCES = ("Resource", "NotResource")
"""Elements in which two statements can differ and still be merged."""


@dataclass(frozen=True, slots=True)
class MergedDocument:
    """A policy document for one or several destinations."""

    destinations: tuple[Destination, ...]
    document: PolicyDocument

    @property
    def name(self) -> str:
        """The name of the document."""
        return self.document.name

    @property
    def party(self) -> Party:
        """The party that applies the document."""
        return self.document.party

    def content(self) -> dict[str, Any]:
        """Return the document in the form of AWS's API."""
        return self.document.content()

    @property
    def first(self) -> Destination:
        """The destination that gives the document its name."""
        return self.destinations[0]

    @property
    def account(self) -> str:
        """The account of the admin who applies it: its digits, else the store or bucket; empty for Account A."""
        if self.party is Party.A:
            return ""
        is_of_bucket = self.name in {"bucket-policy", "lifecycle"}
        accounts = [(is_of_bucket and to.expected_bucket_owner) or _account_of(to.role_arn) for to in self.destinations]
        return next(filter(None, accounts), self.first.endpoint_url or self.first.bucket)


def _account_of(role_arn: str | None) -> str:
    return (role_arn or "::::").split(":")[4]


def merge(requests: Sequence[PolicyRequest]) -> list[MergedDocument]:
    """Build one document per role, bucket or key that it applies to, in the order of the destinations."""
    groups: dict[tuple[object, ...], list[tuple[Destination, PolicyDocument]]] = {}
    for request in requests:
        for document in policy_documents(_with_overwritten(request, requests)):
            groups.setdefault((document.name, *_subject(request, document)), []).append((request.destination, document))
    return [
        MergedDocument(tuple(to for to, _ in group), _joined([document for _, document in group]))
        for group in groups.values()
    ]


def _subject(request: PolicyRequest, document: PolicyDocument) -> tuple[object, ...]:
    to = request.destination
    match document.name:
        case "trust-policy" | "role-policy":
            return (to.role_arn,)
        case "key-policy":
            return (request.key,)
        case "bucket-policy" | "lifecycle":
            return (to.endpoint_url, request.partition, to.bucket)
        case _:
            return (to.role_arn or to.name,)


def _with_overwritten(request: PolicyRequest, requests: Iterable[PolicyRequest]) -> PolicyRequest:
    """Return the request with the resources that the same role may overwrite for other destinations."""
    to, others = request.destination, []
    for other in requests:
        same = (other.destination.endpoint_url, other.bucket, other.destination.role_arn)
        if same == (to.endpoint_url, request.bucket, to.role_arn) and not other.never_overwrites:
            others.append(other.objects)
    return replace(request, overwritten=tuple(dict.fromkeys(others)))


def _joined(documents: Sequence[PolicyDocument]) -> PolicyDocument:
    statements: list[Statement] = []
    rules: list[dict[str, Any]] = []
    for document in documents:
        for statement in document.statements:
            _add_statement(statements, statement)
        for rule in document.rules:
            _add_rule(rules, rule)
    return replace(documents[0], statements=tuple(statements), rules=tuple(rules))


def _add_statement(statements: list[Statement], new: Statement) -> None:
    """Add resources to a statement that is equal otherwise, or add the statement with a unique name."""
    similar = [
        statement for statement in statements if _without_resources(statement.body) == _without_resources(new.body)
    ]
    if similar:
        body = dict(similar[0].body)
        for part in _RESOURCES:
            if part in body:
                both = list(dict.fromkeys([*_as_list(body[part]), *_as_list(new.body[part])]))
                body[part] = both if len(both) > 1 else both[0]
        statements[statements.index(similar[0])] = replace(similar[0], body=body)
        return
    taken = {statement.sid for statement in statements}
    statements.append(replace(new, sid=_unique(new.sid, taken)))


def _without_resources(body: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
    return body.keys() & set(_RESOURCES), {key: value for key, value in body.items() if key not in _RESOURCES}


def _as_list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _add_rule(rules: list[dict[str, Any]], new: dict[str, Any]) -> None:
    if any(rule["Filter"] == new["Filter"] for rule in rules):
        return
    taken = {rule["ID"] for rule in rules}
    rules.append(new | {"ID": _unique(new["ID"], taken, "-")})


def _unique(name: str, taken: set[str], separator: str = "") -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}{separator}{number}"
    return unique
