"""The values that the stages hand to each other through the journal; without behaviour."""

from __future__ import annotations

from crosshaul.model.admission import ChangedFiles, Denial, Recorded, Refusal, Settled, SettleReason
from crosshaul.model.claim import (
    LARGE,
    Changed,
    Claim,
    Delivered,
    HeldClaim,
    Outcome,
    Quarantine,
    Release,
    RetryLater,
    Unchanged,
)
from crosshaul.model.fingerprint import Fingerprint, Sighting
from crosshaul.model.push import PushProgress, PushSummary
from crosshaul.model.receipt import MAX_OBJECT_BYTES, AbandonedUpload, Checksum, ChecksumKind, Multipart, Part, Receipt
from crosshaul.model.record import Record
from crosshaul.model.route_target import NO_PLAN, Place, PlanId, RoutePlan
from crosshaul.model.source_task import AfterAction, AfterTask
from crosshaul.model.state import TRANSITIONS, UNFINISHED, State
from crosshaul.model.status import DestinationState, DestinationStatus, RouteCounts, RouteStatus

__all__ = [
    "LARGE",
    "MAX_OBJECT_BYTES",
    "NO_PLAN",
    "TRANSITIONS",
    "UNFINISHED",
    "AbandonedUpload",
    "AfterAction",
    "AfterTask",
    "Changed",
    "ChangedFiles",
    "Checksum",
    "ChecksumKind",
    "Claim",
    "Delivered",
    "Denial",
    "DestinationState",
    "DestinationStatus",
    "Fingerprint",
    "HeldClaim",
    "Multipart",
    "Outcome",
    "Part",
    "Place",
    "PlanId",
    "PushProgress",
    "PushSummary",
    "Quarantine",
    "Receipt",
    "Record",
    "Recorded",
    "Refusal",
    "Release",
    "RetryLater",
    "RouteCounts",
    "RoutePlan",
    "RouteStatus",
    "SettleReason",
    "Settled",
    "Sighting",
    "State",
    "Unchanged",
]
