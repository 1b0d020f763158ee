"""Values that discovery hands to the journal: settled files, and files that the journal refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from crosshaul.model.fingerprint import Fingerprint, Sighting
from crosshaul.model.route_target import NO_PLAN, PlanId


class SettleReason(StrEnum):
    """The reason why a file counts as settled."""

    QUIET = "quiet"
    FINISHED = "finished"
    """Its writer renamed it into place or, if the route has ``close_write``, closed it."""
    CLOSED = "closed"
    """It was quiet, and its last event was that a writer closed it."""
    MARKER = "marker"
    CEILING = "ceiling"
    """It changed for longer than ``max_wait``, and was queued anyway."""


class Recorded(NamedTuple):
    """The journal's last fingerprint of a path, and why that counted as settled."""

    fingerprint: Fingerprint
    settled_by: SettleReason | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason against delivering a file as it is: a code, and a sentence that says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled file with its destination and key; or, with a refusal, the reason why it can't be sent."""

    sighting: Sighting
    destination: str
    key: str
    refusal: Refusal | None = None
    reason: SettleReason = SettleReason.QUIET
    plan: PlanId = NO_PLAN


class ChangedFiles(NamedTuple):
    """The files that discovery has to process: changed ones, and those that another plan queued."""

    changed: list[Sighting]
    """New or changed files, files that were gone, and files that changed during their upload. They have to settle."""
    other_plan: list[Sighting]
    """Files that settled in this state under another plan. They only need a new key."""


class Denial(NamedTuple):
    """A file that the journal quarantined at its admission."""

    settled: Settled
    refusal: Refusal
    holder: tuple[str, bytes] | None = None
    """Route and path of the file that has its key; None if the file itself was refused."""
