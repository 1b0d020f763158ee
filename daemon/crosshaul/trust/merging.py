"""What several destinations need of one role, bucket or key, as one document: each is applied as a whole. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crosshaul.config import Destination
from crosshaul.trust.documents import PolicyDocument, PolicyRequest, Statement, pieces
from crosshaul.trust.findings import Party

_LISTED = ("Resource", "NotResource")
"""Parts of a statement in which two statements may differ and still be one."""


@dataclass(frozen=True, slots=True)
class MergedDocument:
    """One document, and the destinations that it is for."""

    destinations: tuple[Destination, ...]
    piece: PolicyDocument

    @property
    def first(self) -> Destination:
        """The destination whose name it goes by."""
        return self.destinations[0]

    @property
    def account(self) -> str:
        """What tells whose admin applies it from the others: the account's digits, else its store or bucket."""
        if self.piece.party is Party.A:
            return ""
        of_bucket = self.piece.name in {"bucket-policy", "lifecycle"}
        known = [(of_bucket and to.expected_bucket_owner) or _account_of(to.role_arn) for to in self.destinations]
        return next(filter(None, known), self.first.endpoint_url or self.first.bucket)


def _account_of(role_arn: str | None) -> str:
    return (role_arn or "::::").split(":")[4]


def merged(wishes: Sequence[PolicyRequest]) -> list[MergedDocument]:
    """A plan for each thing that a document is applied to, in the order of the destinations."""
    found: dict[tuple[object, ...], list[tuple[Destination, PolicyDocument]]] = {}
    for wish in wishes:
        for piece in pieces(_beside(wish, wishes)):
            found.setdefault((piece.name, *_subject(wish, piece)), []).append((wish.destination, piece))
    return [
        MergedDocument(tuple(to for to, _ in group), _joined([piece for _, piece in group])) for group in found.values()
    ]


def _subject(wish: PolicyRequest, piece: PolicyDocument) -> tuple[object, ...]:
    to = wish.destination
    match piece.name:
        case "trust-policy" | "role-policy":
            return (to.role_arn,)
        case "key-policy":
            return (wish.key,)
        case "bucket-policy" | "lifecycle":
            return (to.endpoint_url, wish.partition, to.bucket)
        case _:
            return (to.role_arn or to.name,)


def _beside(wish: PolicyRequest, wishes: Iterable[PolicyRequest]) -> PolicyRequest:
    """The wish, leaving alone what the same role may overwrite in this bucket for another destination."""
    to, others = wish.destination, []
    for other in wishes:
        same = (other.destination.endpoint_url, other.bucket, other.destination.role_arn)
        if same == (to.endpoint_url, wish.bucket, to.role_arn) and not other.never_overwrites:
            others.append(other.objects)
    return replace(wish, overwritten=tuple(dict.fromkeys(others)))


def _joined(found: Sequence[PolicyDocument]) -> PolicyDocument:
    statements: list[Statement] = []
    rules: list[dict[str, Any]] = []
    for piece in found:
        for statement in piece.statements:
            _add_statement(statements, statement)
        for rule in piece.rules:
            _add_rule(rules, rule)
    return replace(found[0], statements=tuple(statements), rules=tuple(rules))


def _add_statement(statements: list[Statement], new: Statement) -> None:
    """Widen a statement that differs in its resources only, or add one under a name of its own."""
    alike = [each for each in statements if _without(each.body) == _without(new.body)]
    if alike:
        body = dict(alike[0].body)
        for part in _LISTED:
            if part in body:
                both = list(dict.fromkeys([*_several(body[part]), *_several(new.body[part])]))
                body[part] = both if len(both) > 1 else both[0]
        statements[statements.index(alike[0])] = replace(alike[0], body=body)
        return
    taken = {each.sid for each in statements}
    statements.append(replace(new, sid=_free(new.sid, taken)))


def _without(body: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
    return body.keys() & set(_LISTED), {key: value for key, value in body.items() if key not in _LISTED}


def _several(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _add_rule(rules: list[dict[str, Any]], new: dict[str, Any]) -> None:
    if any(each["Filter"] == new["Filter"] for each in rules):
        return
    taken = {each["ID"] for each in rules}
    rules.append(new | {"ID": _free(new["ID"], taken, "-")})


def _free(name: str, taken: set[str], between: str = "") -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}{between}{number}"
    return found
