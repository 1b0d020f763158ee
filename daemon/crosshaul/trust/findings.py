"""The result of a step of a check, for people and programs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from crosshaul.errors import Diagnosis


class Outcome(StrEnum):
    """The outcome of a step."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    WARN = "warn"
    """Files are delivered, but there is something to know or to improve."""
    SKIPPED = "skipped"


class Party(StrEnum):
    """The party that has to act."""

    A = "Account A"
    B = "Account B"
    HOST = "this machine"
    CONFIG = "the configuration"


@dataclass(frozen=True, slots=True)
class Advice:
    """The cause of a failure, the party that has to act, and what it has to do."""

    cause: str
    """The faulty part, by a name that both admins know, such as ``trust policy``."""
    party: Party
    action: str
    """One sentence: what the party has to do."""
    ruled_out: tuple[str, ...] = ()
    """Other causes that earlier steps rule out."""
    partner_message: str = ""
    """A paragraph to send to the partner; empty when the partner has nothing to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of one step."""

    step: str
    """A stable name, such as ``assume_role``."""
    outcome: Outcome
    message: str
    """One line."""
    error: Diagnosis | None = None
    advice: Advice | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """Details in JSON's types."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding in JSON's types."""
        values: dict[str, Any] = {
            "step": self.step,
            "outcome": str(self.outcome),
            "message": self.message,
            **self.details,
        }
        if self.error is not None:
            names = ("operation", "code", "message", "status", "request_id")
            values["error"] = {name: getattr(self.error, name) for name in names} | {"type": str(self.error.kind)}
        if self.advice is not None:
            values["diagnosis"] = {
                "cause": self.advice.cause,
                "party": str(self.advice.party),
                "action": self.advice.action,
                "ruled_out": list(self.advice.ruled_out),
                "partner_message": self.advice.partner_message,
            }
        return values
