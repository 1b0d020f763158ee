"""The states of a file's record, and the transitions between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """State of a file's record. The journal allows the transitions of ``TRANSITIONS`` and no others."""

    PENDING = "pending"
    """Settled, and to be sent at ``due_at``."""
    UPLOADING = "uploading"
    """Claimed by a destination's pipeline."""
    CHANGED = "changed"
    """Found changed when it was to be sent: discovery queues it again once it has settled."""
    DELIVERED = "delivered"
    """S3 has confirmed it, and the receipt is on disk."""
    QUARANTINED = "quarantined"
    """Set aside with a reason; ``crosshaul retry`` or a change of the file queues it again."""
    GONE = "gone"
    """Disappeared before it was sent."""


UNFINISHED = (State.PENDING, State.UPLOADING, State.CHANGED)
"""The states of a file that is still to be delivered."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.PENDING, State.UPLOADING, State.GONE, State.QUARANTINED}),
    State.UPLOADING: frozenset({State.PENDING, State.DELIVERED, State.QUARANTINED, State.CHANGED}),
    State.CHANGED: frozenset({State.PENDING, State.GONE, State.QUARANTINED}),
    State.DELIVERED: frozenset({State.PENDING, State.QUARANTINED}),
    State.QUARANTINED: frozenset({State.PENDING, State.QUARANTINED, State.DELIVERED, State.GONE}),
    State.GONE: frozenset({State.PENDING, State.QUARANTINED}),
}
