"""Evaluate policy documents as IAM does: an explicit Deny wins, then an Allow, and the default is to deny.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import Any

from crosshaul.partner.errors import ApiError

Document = Mapping[str, Any]
_ELEMENTS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition",
}  # fmt: skip


class Verdict(Enum):
    """The result of one document for one request."""

    ALLOW = "allow"
    DENY = "deny"
    NO_MATCH = "no match"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """An access request, as policies see it.

    ``principals`` are the names by which a resource policy may allow the caller, ``denials`` those by which it may
    deny the caller (an account's root stands for every principal of the account in a Deny).
    """

    action: str
    resource: str
    context: Mapping[str, str]
    principals: frozenset[str] = frozenset()
    denials: frozenset[str] = frozenset()


Test = Callable[[Mapping[str, str]], bool]


def _as_list(value: object) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_text(item) for item in value]
    return [_as_text(value)]


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _glob(pattern: str, flags: int = 0) -> re.Pattern[str]:
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.DOTALL | flags)


def _any_glob(values: list[str], flags: int = 0) -> Callable[[str], bool]:
    patterns = [_glob(value, flags) for value in values]
    return lambda text: any(pattern.fullmatch(text) for pattern in patterns)


def _equals(values: list[str]) -> Callable[[str], bool]:
    wanted = frozenset(values)
    return lambda text: text in wanted


def _equals_folded(values: list[str]) -> Callable[[str], bool]:
    wanted = frozenset(value.lower() for value in values)
    return lambda text: text.lower() in wanted


def _comparison(compare: Callable[[float, float], bool], read: Callable[[str], float]) -> Callable[[list[str]], Any]:
    def build(values: list[str]) -> Callable[[str], bool]:
        limits = [read(value) for value in values]
        return lambda text: any(compare(read(text), limit) for limit in limits)

    return build


def _timestamp(text: str) -> float:
    if text.replace(".", "", 1).isdigit():
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "Equals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanEquals": lambda a, b: a >= b,
}
_OPERATORS: dict[str, Callable[[list[str]], Callable[[str], bool]]] = {
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _equals_folded,
    "StringLike": _any_glob,
    "ArnEquals": _any_glob,
    "ArnLike": _any_glob,
    "Bool": _equals_folded,
    **{f"Numeric{name}": _comparison(order, float) for name, order in _ORDERS.items()},
    **{f"Date{name}": _comparison(order, _timestamp) for name, order in _ORDERS.items()},
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def _malformed(reason: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "MalformedPolicyDocument", reason)


def _test(operator: str, key: str, values: list[str]) -> Test:
    key = key.lower()
    if operator == "Null":
        return lambda context: (key not in context) == (values[0] == "true")
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    negated = operator in _NEGATED
    build = _OPERATORS.get(_NEGATED.get(operator, operator))
    if build is None:
        raise _malformed(f"Invalid Condition type : {operator}.")
    matches = build(values)

    def test(context: Mapping[str, str]) -> bool:
        value = context.get(key)
        return (negated or if_exists) if value is None else matches(value) is not negated

    return test


def _tests(conditions: Mapping[str, Mapping[str, object]]) -> list[Test]:
    return [
        _test(operator, key, _as_list(values)) for operator, keys in conditions.items() for key, values in keys.items()
    ]


def _principals(value: object) -> frozenset[str]:
    if isinstance(value, Mapping):
        return frozenset(name for kind in ("AWS", "Service") for name in _as_list(value.get(kind, [])))
    return frozenset(_as_list(value))


class Statement:
    """A compiled statement."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        unknown = source.keys() - _ELEMENTS
        if unknown or source.get("Effect") not in {"Allow", "Deny"}:
            raise _malformed("Syntax errors in policy.")
        self.denies = source["Effect"] == "Deny"
        self._actions = _any_glob(_as_list(source.get("Action", source.get("NotAction", []))), re.IGNORECASE)
        self._not_actions = "NotAction" in source
        self._resources = _any_glob(_as_list(source.get("Resource", source.get("NotResource", "*"))))
        self._not_resources = "NotResource" in source
        self._principals = _principals(source["Principal"]) if "Principal" in source else None
        self._not_principals = _principals(source["NotPrincipal"]) if "NotPrincipal" in source else None
        self._tests = _tests(source.get("Condition", {}))

    def applies(self, access: AccessRequest) -> bool:
        """True if the statement matches a request."""
        return (
            self._actions(access.action) is not self._not_actions
            and self._resources(access.resource) is not self._not_resources
            and self._names(access)
            and all(test(access.context) for test in self._tests)
        )

    def _names(self, access: AccessRequest) -> bool:
        names = access.denials if self.denies else access.principals
        if self._not_principals is not None:
            return not self._not_principals & access.denials
        return self._principals is None or bool(self._principals & names)


class Policy:
    """A compiled document; ``None`` compiles to an empty document."""

    def __init__(self, document: Document | None) -> None:
        statements = document.get("Statement", []) if document else []
        self._statements = [
            Statement(source) for source in ([statements] if isinstance(statements, Mapping) else statements)
        ]

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Compile JSON text; raises ApiError (MalformedPolicyDocument)."""
        try:
            document = json.loads(text)
        except ValueError:
            raise _malformed("Syntax errors in policy.") from None
        if not isinstance(document, dict) or "Statement" not in document:
            raise _malformed("Syntax errors in policy.")
        return cls(document)

    def verdict(self, access: AccessRequest) -> Verdict:
        """Evaluate the document for a request."""
        verdict = Verdict.NO_MATCH
        for statement in self._statements:
            if (statement.denies or verdict is Verdict.NO_MATCH) and statement.applies(access):
                if statement.denies:
                    return Verdict.DENY
                verdict = Verdict.ALLOW
        return verdict
