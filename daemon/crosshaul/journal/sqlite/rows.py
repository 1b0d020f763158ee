"""Converts between the model's values and the journal's rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from crosshaul.display import text
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import (
    AfterAction,
    AfterTask,
    Checksum,
    ChecksumKind,
    DestinationState,
    DestinationStatus,
    Fingerprint,
    Multipart,
    Part,
    Place,
    Receipt,
    Record,
    RouteStatus,
    SettleReason,
    State,
)

P = ParamSpec("P")
R = TypeVar("R")

Row = Sequence[Any]


class CorruptRowError(Exception):
    """A row with an impossible value. SQLite keeps no checksums, so its own check does not find these."""


def reading(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that reads rows: raise CorruptRowError for impossible values."""

    @wraps(function)
    def read(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptRowError(f"a record makes no sense: {error}") from error

    return read


def fingerprint_text(fingerprint: Fingerprint) -> str:
    """Return the fingerprint as text; queries compare these texts."""
    return f"{fingerprint.size} {fingerprint.mtime_ns} {fingerprint.ctime_ns} {fingerprint.inode}"


@reading
def fingerprint(text: str) -> Fingerprint:
    """Parse a fingerprint's text."""
    size, mtime_ns, ctime_ns, inode = text.split()
    return Fingerprint(int(size), int(mtime_ns), int(ctime_ns), int(inode))


def diagnosis_text(diagnosis: Diagnosis | None) -> str | None:
    """Return a diagnosis as JSON."""
    if diagnosis is None:
        return None
    return json.dumps({name: getattr(diagnosis, name) for name in Diagnosis.__slots__})


def diagnosis(text: str | None) -> Diagnosis | None:
    """Parse a diagnosis' JSON."""
    if text is None:
        return None
    values = json.loads(text)
    return Diagnosis(**{**values, "kind": FaultKind(values["kind"])})


def ids_text(ids: Iterable[int]) -> str:
    """Return row ids as a JSON list for ``json_each``."""
    return f"[{','.join(map(str, ids))}]"


def names_text(names: Iterable[str]) -> str:
    """Return names as a JSON list for ``json_each``."""
    return json.dumps(list(names))


def keys_text(keys: Iterable[tuple[int, str]]) -> str:
    """Return places and keys as a JSON list of pairs."""
    return json.dumps(list(keys))


def checksum(kind: str | None, value: str | None) -> Checksum | None:
    """Return the checksum in two columns."""
    return None if kind is None or value is None else Checksum(ChecksumKind(kind), value)


def receipt_columns(receipt: Receipt) -> tuple[object, ...]:
    """Return the receipt's columns, in the order of ``receipt``."""
    proof = receipt.checksum
    return (
        receipt.etag,
        receipt.size,
        receipt.delivered_at,
        proof.kind if proof else None,
        proof.value if proof else None,
        receipt.version_id,
        receipt.request_id,
        receipt.proven_by,
    )


def receipt(columns: Row) -> Receipt | None:
    """Return the receipt in its eight columns; None if nothing was delivered."""
    etag, size, delivered_at, kind, value, version_id, request_id, proven_by = columns
    if delivered_at is None:
        return None
    return Receipt(etag, size, delivered_at, checksum(kind, value), version_id, request_id, proven_by)


def previous_columns(receipt: Receipt) -> tuple[object, ...]:
    """Return the columns of a receipt that outlive its content, in the order of the query ``remember_stale``."""
    proof = receipt.checksum
    kind, value = (proof.kind, proof.value) if proof else (None, None)
    return receipt.etag, receipt.size, kind, value, receipt.version_id


@reading
def previous(row: Row) -> Receipt:
    """Return the receipt of the previous content, in a row of the query ``previous_of``."""
    etag, size, kind, value, version_id = row[1:6]
    return Receipt(etag, size, 0.0, checksum(kind, value), version_id)


@reading
def kept(row: Row) -> Receipt | None:
    """Return the receipt that the file kept when its ctime changed, in a row of the query ``previous_of``."""
    etag, size, kind, value, version_id, kept_at, request_id, proven_by = row[1:]
    return receipt((etag, size, kept_at, kind, value, version_id, request_id, proven_by))


def _receipt_of(row: sqlite3.Row) -> Receipt | None:
    kind, value = row["checksum_kind"], row["checksum"]
    return receipt(
        (
            row["etag"],
            row["receipt_size"],
            row["delivered_at"],
            kind,
            value,
            row["version_id"],
            row["request_id"],
            row["proven_by"],
        )
    )


@reading
def record(row: sqlite3.Row, multipart: Multipart | None) -> Record:
    """Return the record in a row of the view ``placed``."""
    return Record(
        id=row["id"],
        route=row["route"],
        destination=row["destination"],
        path=row["path"],
        fingerprint=fingerprint(row["fingerprint"]),
        key=row["key"],
        state=State(row["state"]),
        generation=row["generation"],
        attempts=row["attempts"],
        first_seen_at=row["first_seen_at"],
        changed_at=row["changed_at"],
        due_at=row["due_at"],
        ambiguous=bool(row["ambiguous"]),
        diagnosis=diagnosis(row["diagnosis"]),
        receipt=_receipt_of(row),
        after_due_at=row["after_due_at"],
        after_action=AfterAction(row["after_action"]) if row["after_action"] else None,
        multipart=multipart,
        place=Place(row["endpoint"], row["bucket"]) if row["endpoint"] else None,
        plan=row["plan"],
        settled_by=SettleReason(row["settled_by"]) if row["settled_by"] else None,
    )


@reading
def after_task(row: Row) -> AfterTask:
    """Return the task in a row of the query ``due_after_tasks``."""
    done = receipt(row[7:])
    if done is None:
        raise ValueError(f"record {row[0]} is due for deletion without a receipt")
    settled_by = SettleReason(row[6]) if row[6] else None
    return AfterTask(row[0], row[1], row[2], row[3], fingerprint(row[4]), done, row[5], settled_by)


@reading
def part(row: Row) -> Part:
    """Return the part in a row of the query ``parts_of``."""
    _file, number, size, etag, kind, value = row
    return Part(number, size, etag, Checksum(ChecksumKind(kind), value))


def part_columns(file: int, one: Part) -> tuple[object, ...]:
    """Return the columns of ``parts``."""
    return file, one.number, one.size, one.etag, one.checksum.kind, one.checksum.value


def destination_columns(status: DestinationStatus) -> tuple[object, ...]:
    """Return the columns of ``destinations``."""
    error = diagnosis_text(status.last_error)
    return status.name, status.state, status.retry_at, status.credentials_expire_at, error, status.checksum_kind


@reading
def destination(row: Row) -> DestinationStatus:
    """Return the status in a row of ``destinations``."""
    name, state, retry_at, expire_at, error, kind = row
    seen = ChecksumKind(kind) if kind else None
    return DestinationStatus(name, DestinationState(state), retry_at, expire_at, diagnosis(error), seen)


def route_columns(status: RouteStatus) -> tuple[object, ...]:
    """Return the columns of ``routes``; a path in ``watcher`` may contain bytes that are not UTF-8."""
    seconds = status.last_scan_seconds
    return status.name, text(status.watcher), status.last_scan_at, seconds, status.lost_events, status.settling


@reading
def route(row: Row) -> RouteStatus:
    """Return the status in a row of ``routes``."""
    return RouteStatus(*row)
