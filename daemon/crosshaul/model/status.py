"""Status of destinations and routes, as the journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from crosshaul.errors import Diagnosis
from crosshaul.model.receipt import ChecksumKind
from crosshaul.model.state import State


class DestinationState(StrEnum):
    """State of a destination."""

    STARTING = "starting"
    READY = "ready"
    PARKED = "parked"
    """The account or bucket refuses files: one file at a time is tried until it accepts one."""


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """Status of a destination; kept, so that ``crosshaul status`` shows it while the daemon is down."""

    name: str
    state: DestinationState = DestinationState.STARTING
    retry_at: float | None = None
    credentials_expire_at: float | None = None
    last_error: Diagnosis | None = None
    checksum_kind: ChecksumKind | None = None
    """The checksum that the store was seen to support; None until the first upload."""
    failing: bool = False
    """Attempts fail in a row although the destination is not parked: no response, or throttling. Not kept."""


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """Status of a route."""

    name: str
    watcher: str = "off"
    """``watching``, ``scanning only: <why>``, ``root missing`` or ``off``."""
    last_scan_at: float | None = None
    last_scan_seconds: float | None = None
    lost_events: int = 0
    settling: int = 0
    """Files that have not settled yet."""


@dataclass(frozen=True, slots=True)
class RouteCounts:
    """Counts of a route's files."""

    route: str
    files: Mapping[State, int] = field(default_factory=dict)
    pending_bytes: int = 0
    delivered_bytes: int = 0
    oldest_pending_at: float | None = None

    def count(self, *states: State) -> int:
        """Return the number of files in these states."""
        return sum(self.files.get(state, 0) for state in states)

    @property
    def pending(self) -> int:
        """Files that are to be sent, with those that changed since: `wait` must not end before these."""
        return self.count(State.PENDING, State.CHANGED)
