"""A record of the journal in JSON's types, for `list`, `explain` and `push`."""

from __future__ import annotations

import base64
from typing import Any

from crosshaul.display import text
from crosshaul.model import Record


def record_json(record: Record) -> dict[str, Any]:
    """Return a record in JSON's types. The bucket is the recorded one, whatever the present configuration says."""
    fields: dict[str, Any] = {
        "id": record.id,
        "route": record.route,
        "path": text(record.path),
        "destination": record.destination,
        "endpoint": record.place.endpoint if record.place else None,
        "bucket": record.place.bucket if record.place else None,
        "key": record.key or None,
        "state": record.state,
        "size": record.fingerprint.size,
        "mtime": record.fingerprint.mtime_ns / 1e9,
        "generation": record.generation,
        "attempts": record.attempts,
        "first_seen_at": record.first_seen_at,
        "changed_at": record.changed_at,
        "due_at": record.due_at,
        "error": _error(record),
        "receipt": _receipt(record),
        "after": {"due_at": record.after_due_at, "action": record.after_action},
    }
    if not _is_utf8(record.path):
        fields["path_base64"] = base64.b64encode(record.path).decode()
    return fields


def _error(record: Record) -> dict[str, Any] | None:
    diagnosis = record.diagnosis
    if diagnosis is None:
        return None
    return {
        "code": diagnosis.code,
        "message": diagnosis.message,
        "operation": diagnosis.operation or None,
        "status": diagnosis.status,
        "request_id": diagnosis.request_id,
        "advice": diagnosis.advice or None,
        "line": diagnosis.line(),
    }


def _receipt(record: Record) -> dict[str, Any] | None:
    receipt = record.receipt
    if receipt is None:
        return None
    return {
        "delivered_at": receipt.delivered_at,
        "size": receipt.size,
        "etag": receipt.etag,
        "checksum": {"kind": receipt.checksum.kind, "value": receipt.checksum.value} if receipt.checksum else None,
        "version_id": receipt.version_id,
        "request_id": receipt.request_id,
        "proven_by": receipt.proven_by,
    }


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
