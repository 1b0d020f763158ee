"""The script of faults: rules that say which calls fail, and how."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from crosshaul.partner.exchange import NO_FAULT, FaultAction
from crosshaul.partner.faults import (
    Close,
    Corrupt,
    Delay,
    DelayedCommit,
    Error,
    ErrorInBody,
    Reset,
    Stall,
    TruncatedResponse,
    WrongETag,
)
from crosshaul.partner.routing import Target

_KINDS: dict[str, type[Any]] = {
    action.kind: action
    for action in (Error, Reset, TruncatedResponse, Stall, Delay, DelayedCommit, Corrupt, WrongETag, ErrorInBody, Close)
}


@dataclass
class Rule:
    """Make matching calls fail: ``times`` of them (None: all), after the first ``after``, or with ``probability``."""

    action: FaultAction
    operation: str = "*"
    """The name of an operation, such as ``PutObject``, or a pattern (fnmatch)."""
    key: str | None = None
    """A pattern (fnmatch) of object keys; None matches every key."""
    part: int | None = None
    times: int | None = 1
    after: int = 0
    probability: float | None = None
    seen: int = 0
    hits: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Rule:
        """Build a rule from ``{"operation": ..., "action": {"kind": ..., ...}}``; raises ValueError."""
        action = dict(values.get("action") or {})
        kind = _KINDS.get(action.pop("kind", ""))
        allowed = {option.name for option in fields(cls)}
        if (
            kind is None
            or not values.keys() <= allowed
            or not action.keys() <= {option.name for option in fields(kind)}
        ):
            raise ValueError(f"a rule needs an action of kind {', '.join(_KINDS)}, and may have {sorted(allowed)}")
        return cls(**{**values, "action": kind(**action)})

    def fires(self, target: Target) -> bool:
        """Count a matching call, and return whether it fails."""
        if not self._matches(target):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        if self.probability is not None and random.random() >= self.probability:  # noqa: S311 - chance, not a secret
            return False
        self.hits += 1
        return True

    def _matches(self, target: Target) -> bool:
        return (
            fnmatchcase(target.operation, self.operation)
            and (self.key is None or fnmatchcase(target.key, self.key))
            and (self.part is None or target.part == self.part)
        )


class FaultScript:
    """The rules in order; the first one that fires decides."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> Rule:
        """Append a rule and return it, for its ``hits`` counter."""
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules."""
        self.rules.clear()

    def match(self, target: Target) -> FaultAction:
        """Return the action for a call."""
        return next((rule.action for rule in self.rules if rule.fires(target)), NO_FAULT)
