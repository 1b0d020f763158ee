"""A record of the journal as programs get it: `list --json`, and what `explain` and `push` tell of a file."""

from __future__ import annotations

import base64
from typing import Any

from crosshaul.display import text
from crosshaul.model import Record


def facts_of(record: Record) -> dict[str, Any]:
    """All that is known of the file, in JSON's types. The bucket is the one that the journal has for its key."""
    facts: dict[str, Any] = {
        "id": record.id,
        "route": record.route,
        "path": text(record.path),
        "destination": record.destination,
        "endpoint": record.place.endpoint if record.place else None,
        "bucket": record.place.bucket if record.place else None,
        "key": record.key or None,
        "state": str(record.state),
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
        facts["path_base64"] = base64.b64encode(record.path).decode()
    return facts


def _error(record: Record) -> dict[str, Any] | None:
    found = record.diagnosis
    if found is None:
        return None
    return {
        "code": found.code,
        "message": found.message,
        "operation": found.operation or None,
        "status": found.status,
        "request_id": found.request_id,
        "advice": found.advice or None,
        "line": found.line(),
    }


def _receipt(record: Record) -> dict[str, Any] | None:
    found = record.receipt
    if found is None:
        return None
    return {
        "delivered_at": found.delivered_at,
        "size": found.size,
        "etag": found.etag,
        "checksum": {"kind": found.checksum.kind, "value": found.checksum.value} if found.checksum else None,
        "version_id": found.version_id,
        "request_id": found.request_id,
        "proven_by": found.proven_by,
    }


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
