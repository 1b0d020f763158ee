"""What a step of a check came to, for people and programs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from crosshaul.errors import Diagnosis


class Outcome(StrEnum):
    """How a step ended."""

    GOOD = "good"
    BAD = "bad"
    NOTE = "note"
    """Nothing that keeps files from being delivered, but somebody should know."""
    SKIPPED = "skipped"


class Party(StrEnum):
    """Who has to do something."""

    A = "Account A"
    B = "Account B"
    HOST = "this machine"
    CONFIG = "the configuration"


@dataclass(frozen=True, slots=True)
class Advice:
    """Which part is wrong, whose it is, and what to do about it."""

    cause: str
    """The part, by the name that both admins know it by, such as ``trust policy``."""
    party: Party
    do: str
    """One sentence: what that party does."""
    ruled_out: tuple[str, ...] = ()
    """What it can't be, because something that needs it went well."""
    letter: str = ""
    """A paragraph to send to the partner; empty where it is nobody else's affair."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One step's result."""

    step: str
    """A stable name, such as ``assume_role``."""
    verdict: Outcome
    told: str
    """One line."""
    error: Diagnosis | None = None
    advice: Advice | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """Details in JSON's types."""

    def as_json(self) -> dict[str, Any]:
        """The finding in JSON's types."""
        told: dict[str, Any] = {"step": self.step, "verdict": str(self.verdict), "told": self.told, **self.facts}
        if self.error is not None:
            names = ("operation", "code", "message", "status", "request_id")
            told["error"] = {name: getattr(self.error, name) for name in names} | {"type": str(self.error.kind)}
        if self.advice is not None:
            told["diagnosis"] = {
                "cause": self.advice.cause,
                "party": str(self.advice.party),
                "do": self.advice.do,
                "ruled_out": list(self.advice.ruled_out),
                "letter": self.advice.letter,
            }
        return told
