"""What a check learned of a destination, kept beside the journal for the daemon to go by at its next start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosshaul.config import Destination
from crosshaul.model import ChecksumKind
from crosshaul.trust.findings import Finding

_FACTS = ("checksum", "abort_allowed", "list_parts_allowed", "missing_key_status", "encryption", "conditions")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is known; None where nothing is."""

    checksum: ChecksumKind | None = None
    """What the store was seen to honour."""
    abort_allowed: bool | None = None
    """Whether the role may AbortMultipartUpload: if not, nobody need ask."""
    conditions: bool | None = None
    """Whether a PutObject with If-None-Match leaves an object alone that is there."""


def learn(state_dir: Path, destination: Destination, findings: Iterable[Finding]) -> None:
    """Keep what a check found out (blocking). Nothing where ``state_dir`` is not there, or not ours."""
    facts = {name: value for each in findings for name, value in each.facts.items() if name in _FACTS}
    with contextlib.suppress(OSError):
        known = _read(state_dir)
        known[destination.name] = {"of": _identity(destination), **facts}
        fresh = _path(state_dir).with_suffix(".tmp")
        fresh.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
        fresh.chmod(0o644)  # who checks may be another user than the daemon; the directory lets nobody else in
        os.replace(fresh, _path(state_dir))  # noqa: PTH105 - one step


def known(state_dir: Path, destination: Destination) -> Capabilities:
    """What is kept of exactly this destination (blocking)."""
    facts = _read(state_dir).get(destination.name, {})
    if facts.get("of") != _identity(destination):
        return Capabilities()
    checksum, abort = facts.get("checksum"), facts.get("abort_allowed")
    kind = ChecksumKind(checksum) if checksum in set(ChecksumKind) else None
    conditions = facts.get("conditions")
    return Capabilities(
        kind, abort if isinstance(abort, bool) else None, conditions if isinstance(conditions, bool) else None
    )


def _read(state_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads(_path(state_dir).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    sections = found.items() if isinstance(found, dict) else ()
    return {name: facts for name, facts in sections if isinstance(facts, dict)}


def _path(state_dir: Path) -> Path:
    return state_dir / "capabilities.json"


def _identity(destination: Destination) -> str:
    """Of what the facts are: another bucket, store or role may do other things."""
    parts = (destination.endpoint_url, destination.bucket, destination.role_arn, destination.ssekms_key_id)
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]
