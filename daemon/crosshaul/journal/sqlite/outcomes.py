"""Writes the outcomes of claims, many at once, and the results of after-upload tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crosshaul.errors import Diagnosis
from crosshaul.journal.sqlite import abandoned, bulk, rows
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.sqlite.transitions import IllegalTransition, check_transition
from crosshaul.model import (
    AfterAction,
    AfterTask,
    Changed,
    Claim,
    Delivered,
    Outcome,
    Quarantine,
    Release,
    RetryLater,
    State,
    Unchanged,
)


class ClaimOutcome(NamedTuple):
    """One call of ``Journal.finish``."""

    claim: Claim
    outcome: Outcome
    now: float


class AfterReport(NamedTuple):
    """One call of ``Journal.finish_after_task``."""

    task: AfterTask
    action: AfterAction | None
    """None: the task is not overdue."""
    diagnosis: Diagnosis | None
    due_at: float | None
    """When the task is due again; None = never."""


class SendingAgain(NamedTuple):
    """One call of ``Journal.send_again``."""

    task: AfterTask
    diagnosis: Diagnosis
    due_at: float
    now: float


class _ClaimState(NamedTuple):
    """The present record, in the order of the query ``claim_states``."""

    id: int
    state: str
    claimed: int | None
    generation: int
    holds_key: int
    attempts: int
    ambiguous: int
    diagnosis: str | None


class _PutBack(NamedTuple):
    """The columns of the query ``put_back``, in its order."""

    state: State
    changed_at: float
    due_at: float
    attempts: int
    ambiguous: int
    diagnosis: str | None
    holds_key: int
    id: int


@dataclass(slots=True)
class _OutcomeRows:
    delivered: list[tuple[object, ...]] = field(default_factory=list)
    back: list[_PutBack] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    """Records whose multipart upload is complete."""
    abandoned: list[int] = field(default_factory=list)
    """Records whose multipart upload is to be aborted."""
    stale: list[tuple[object, ...]] = field(default_factory=list)
    """Receipts of files that changed during their upload."""

    def write(self, connection: sqlite3.Connection) -> None:
        bulk.run(connection, "deliver", self.delivered)
        if self.back:
            connection.executemany(SQL["put_back"], self.back)
        if self.stale:
            connection.executemany(SQL["remember_stale"], self.stale)
        connection.execute(SQL["drop_multipart"], (rows.ids_text(self.finished),))
        if self.abandoned:
            abandoned.abandon(connection, self.abandoned)


def finish(connection: sqlite3.Connection, claim_outcomes: Sequence[ClaimOutcome]) -> list[State | Exception]:
    """Move each claimed file to the state of its outcome. IllegalTransition where the claim is not held."""
    ids = rows.ids_text(one.claim.id for one in claim_outcomes)
    states = {row[0]: _ClaimState._make(row) for row in bulk.ask(connection, "claim_states", (ids,))}
    changes = _OutcomeRows()
    # Removed from `states`, so that the second outcome of one claim in a batch is an error.
    results = [_finish_one(states.pop(one.claim.id, None), one, changes) for one in claim_outcomes]
    changes.write(connection)
    return results


def _finish_one(record: _ClaimState | None, claim_outcome: ClaimOutcome, changes: _OutcomeRows) -> State | Exception:
    claim, outcome, now = claim_outcome
    if record is None or record.state != State.UPLOADING or record.claimed != claim.generation:
        return IllegalTransition(f"record {claim.id}: not claimed in generation {claim.generation}, so it can't finish")
    if record.generation != claim.generation:
        back = _requeued(record, now)
        if isinstance(outcome, Delivered):
            changes.stale.append((*rows.previous_columns(outcome.receipt), record.id, claim.key, claim.plan))
    elif isinstance(outcome, Delivered | Unchanged):
        changes.delivered.append((now, outcome.after_due_at, *rows.receipt_columns(outcome.receipt), record.id))
        changes.finished.append(record.id)
        return check_transition(record.id, State.UPLOADING, State.DELIVERED)
    else:
        back = _put_back(record, outcome, now)
    changes.back.append(back)
    if _ends_multipart(outcome):
        changes.abandoned.append(record.id)
    return check_transition(record.id, State.UPLOADING, back.state)


def _requeued(record: _ClaimState, now: float) -> _PutBack:
    """Queue the file again; quarantine it if another file has its key by now."""
    target = State.PENDING if record.holds_key else State.QUARANTINED
    return _PutBack(target, now, now, record.attempts, record.ambiguous, record.diagnosis, record.holds_key, record.id)


def _put_back(record: _ClaimState, outcome: Outcome, now: float) -> _PutBack:
    same = _requeued(record, now)
    match outcome:
        case RetryLater(due_at, diagnosis, counts):
            return _with_reason(same, diagnosis)._replace(due_at=due_at, attempts=record.attempts + counts)
        case Quarantine(diagnosis, counts):
            return _with_reason(same, diagnosis)._replace(state=State.QUARANTINED, attempts=record.attempts + counts)
        case Release(due_at):
            return same._replace(due_at=due_at)
        case Changed():
            return same._replace(state=State.CHANGED)
        case _:
            raise TypeError(f"{outcome!r} is no outcome")


def _with_reason(back: _PutBack, diagnosis: Diagnosis) -> _PutBack:
    return back._replace(diagnosis=rows.diagnosis_text(diagnosis), ambiguous=back.ambiguous or diagnosis.ambiguous)


def _ends_multipart(outcome: Outcome) -> bool:
    return isinstance(outcome, Changed) or (isinstance(outcome, RetryLater) and outcome.drop_multipart)


def finish_after_tasks(connection: sqlite3.Connection, reports: Sequence[AfterReport]) -> Sequence[Exception | None]:
    """Record the results of tasks, without those whose file changed since, and offer the keys of removed sources."""
    connection.executemany(
        SQL["finish_after_task"],
        [(due, action, rows.diagnosis_text(why), task.id, task.generation) for task, action, why, due in reports],
    )
    connection.execute(SQL["offer_keys_of"], (rows.ids_text(report.task.id for report in reports),))
    return [None] * len(reports)


def send_again(connection: sqlite3.Connection, again: SendingAgain) -> None:
    """Queue a delivered file as a new generation although its fingerprint is the same; skip it if it changed since."""
    task, diagnosis, due_at, now = again
    why = rows.diagnosis_text(diagnosis)
    connection.execute(SQL["send_again"], (due_at, now, now, why, task.id, task.generation))
