"""The calls that a store of the journal offers. tests/contract is written against ``JournalStore``.

A write that was awaited is on disk. Every call may raise StateDirError; one that raises has changed nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from crosshaul.errors import Diagnosis
from crosshaul.journal.canary_choice import CanaryCriteria
from crosshaul.journal.commit_stats import CommitStats
from crosshaul.model import (
    AbandonedUpload,
    AfterAction,
    AfterTask,
    ChangedFiles,
    Claim,
    Denial,
    DestinationStatus,
    Fingerprint,
    HeldClaim,
    Multipart,
    Outcome,
    Part,
    Place,
    PlanId,
    Record,
    Recorded,
    RouteCounts,
    RoutePlan,
    RouteStatus,
    Settled,
    Sighting,
    State,
)


class Plans(Protocol):
    """Calls about the configuration's plans, for the builder and for retargeting."""

    async def apply_plans(self, wanted: Sequence[RoutePlan], places: Mapping[str, Place]) -> dict[str, PlanId]:
        """Bring the plans of all configured routes into force; ``places`` are those of the destinations, by name."""
        ...

    async def is_in_force(self, wanted: RoutePlan) -> bool:
        """Return True if the route's last applied plan is this one."""
        ...

    async def plan(self, wanted: RoutePlan) -> PlanId:
        """Return the journal's number of a plan and its place."""
        ...

    async def delivered_of_other_plans(
        self, route: str, plan: int, after: int
    ) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
        """Return some delivered files that another plan queued, and the position of the next call."""
        ...


class Admissions(Protocol):
    """Calls of discovery about scanned files."""

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int = 0) -> ChangedFiles:
        """Return the sightings that are not recorded with this fingerprint under this plan."""
        ...

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """Return the last recorded fingerprint of those of ``paths`` that have a record."""
        ...

    async def admit(self, settled: Sequence[Settled]) -> list[Denial]:
        """Queue settled files; quarantine, and return, those that were refused or whose key another file has."""
        ...

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        """Record that files disappeared."""
        ...

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        """Record that the route no longer selects files."""
        ...

    async def leftovers(self, route: str, plan: int, after: int = 0) -> tuple[Sequence[bytes], int | None]:
        """Return some undelivered files that another plan queued, and the position of the next call."""
        ...


class Claims(Protocol):
    """Calls of delivery about claims and their outcomes."""

    async def claim(self, routes: Sequence[str], small: int, large: int = 0) -> list[Claim]:
        """Claim at most ``small`` due files below ``model.LARGE`` bytes and ``large`` others, oldest due first."""
        ...

    async def claim_canary(self, routes: Sequence[str], criteria: CanaryCriteria) -> Claim | None:
        """Claim the due file of ``routes`` that meets the criteria best; None if no file is due."""
        ...

    async def next_due(self, routes: Sequence[str]) -> float | None:
        """Return when the next pending file is due (seconds since the epoch), or None."""
        ...

    async def finish(self, claim: Claim, outcome: Outcome) -> State:
        """Record the outcome of a claim and return the file's new state. Raises IllegalTransition."""
        ...

    async def submit_outcome(self, claim: Claim, outcome: Outcome) -> asyncio.Future[State]:
        """Queue the outcome of a claim, in the order of the calls; the future is ``finish``'s result."""
        ...

    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None:
        """Remember an upload that S3 opened. Raises IllegalTransition."""
        ...

    async def add_part(self, claim: Claim, part: Part) -> None:
        """Remember a part that S3 took. Raises IllegalTransition."""
        ...

    async def drop_multipart(self, claim: Claim) -> None:
        """Forget the upload. Raises IllegalTransition."""
        ...

    async def drop_kept_receipt(self, claim: Claim) -> None:
        """Forget the receipt that the file kept when its ctime changed."""
        ...

    async def make_due(self, routes: Sequence[str]) -> None:
        """Make all pending files of ``routes`` due now."""
        ...

    async def reclaim(self, routes: Sequence[str]) -> None:
        """Queue all claimed files of ``routes`` again, as ambiguous."""
        ...

    async def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]:
        """Return all claims of ``routes``."""
        ...

    async def release_lost(self, lost: Sequence[HeldClaim]) -> list[HeldClaim]:
        """Queue files again whose claims nobody holds; return those of the claims that the journal still had."""
        ...


class Sources(Protocol):
    """Calls of delivery about sources of delivered files."""

    async def due_after_tasks(self, route: str, limit: int, by: float | None = None) -> list[AfterTask]:
        """Return the tasks of ``route`` that are due ``by`` then (None = now), oldest due first."""
        ...

    async def next_after_due(self, route: str) -> float | None:
        """Return when the route's next task is due (seconds since the epoch), or None."""
        ...

    async def last_after_due(self, route: str) -> float | None:
        """Return when the route's last task is due (seconds since the epoch), or None."""
        ...

    async def count_overdue(self, route: str, by: float) -> int:
        """Count the route's sources that failed to be removed, or were due ``by`` then untried."""
        ...

    async def delivery_states(
        self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]
    ) -> list[State | None]:
        """Return the state of each file in a route; None = it has no record."""
        ...

    async def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """Return, for each fingerprint, a path of ``route`` under which the same file is not delivered yet."""
        ...

    async def cap_after_due(self, route: str, latest: float) -> None:
        """Make no task of ``route`` due later than ``latest`` (seconds since the epoch)."""
        ...

    async def retry_overdue(self, route: str) -> None:
        """Make all overdue tasks of ``route`` due now."""
        ...

    async def finish_after_task(
        self,
        task: AfterTask,
        action: AfterAction | None,
        diagnosis: Diagnosis | None = None,
        due_at: float | None = None,
    ) -> None:
        """Record the result of a task, and when it is due again; does nothing if the file changed since."""
        ...

    async def send_again(self, task: AfterTask, diagnosis: Diagnosis, due_at: float) -> None:
        """Queue the file as a new generation, due at ``due_at``; does nothing if it changed since."""
        ...


class AbandonedUploads(Protocol):
    """Calls of delivery about multipart uploads to abort."""

    async def abandoned_due(self, place: Place, limit: int) -> list[AbandonedUpload]:
        """Return uploads in ``place`` that are to be aborted now, without those that a claim may still use."""
        ...

    async def mark_aborted(self, upload: Multipart) -> None:
        """Forget an upload that its own claim aborted."""
        ...

    async def record_abort(self, upload: AbandonedUpload, due_at: float | None = None) -> None:
        """Record an attempt to abort: when the next one is due, or None if there will be none."""
        ...


class Statuses(Protocol):
    """Calls about statuses, counts and records, for the status page, metrics and commands."""

    @property
    def last_error(self) -> str | None:
        """The error of the last write; None once one succeeds."""
        ...

    @property
    def commits(self) -> int:
        """Number of commits since it was opened."""
        ...

    @property
    def last_commit(self) -> CommitStats | None:
        """Duration and units of the last transaction."""
        ...

    def on_commit(self, callback: Callable[[CommitStats], None] | None) -> None:
        """Call ``callback`` in the loop after each commit."""
        ...

    async def save_route(self, status: RouteStatus) -> None:
        """Keep a route's status, for other processes."""
        ...

    async def save_destination(self, status: DestinationStatus) -> None:
        """Keep a destination's status, for the next start and for other processes."""
        ...

    async def routes(self) -> list[RouteStatus]:
        """Return the last saved status of each route."""
        ...

    async def destinations(self) -> list[DestinationStatus]:
        """Return the last saved status of each destination."""
        ...

    async def route_counts(self) -> list[RouteCounts]:
        """Return the counts of each route."""
        ...

    async def uploading(self, limit: int) -> list[Record]:
        """Return some of the files that are being sent."""
        ...

    async def longest_pending(self, route: str, limit: int) -> list[Record]:
        """Return the route's files that have been pending longest."""
        ...

    async def quarantined(self, limit: int) -> list[Record]:
        """Return some of the quarantined files."""
        ...

    async def bytes_in_parts(self) -> int:
        """Return the number of bytes that S3 has confirmed of unfinished multipart uploads."""
        ...

    async def find(self, route: str, path: bytes) -> Record | None:
        """Return the record of a file; ``path`` is relative to the route's root."""
        ...


class JournalStore(Plans, Admissions, Claims, Sources, AbandonedUploads, Statuses, Protocol):
    """A store of the journal."""

    def on_due(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the loop whenever files may have become due."""
        ...

    async def close(self) -> None:
        """Finish what is queued, close the store and unlock ``state_dir``; a second call does nothing."""
        ...
