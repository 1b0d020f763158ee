"""What a check learned of a destination, kept beside the journal for the daemon to go by at its next start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosshaul.config import Destination
from crosshaul.model import ChecksumKind
from crosshaul.trust.findings import Finding

_FACTS = ("checksum", "abort_allowed", "list_parts_allowed", "missing_key_status", "encryption", "conditions")
_FILE, _FRESH = "capabilities.json", "capabilities.tmp"
_LONGEST_BYTES = 1 << 20


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
    """Keep what a check found out (blocking). Nothing where ``state_dir`` is not there, or another user's.

    Who owns the directory can put a link in any name's place: root would write to whatever that leads to.
    """
    facts = {name: value for each in findings for name, value in each.facts.items() if name in _FACTS}
    with contextlib.suppress(OSError), _opened(state_dir) as directory:
        if os.fstat(directory).st_uid == os.geteuid():
            known = _read(directory)
            known[destination.name] = {"of": _identity(destination), **facts}
            _write(directory, json.dumps(known, indent=2) + "\n")


def known(state_dir: Path, destination: Destination) -> Capabilities:
    """What is kept of exactly this destination (blocking)."""
    try:
        with _opened(state_dir) as directory:
            facts = _read(directory).get(destination.name, {})
    except OSError:
        return Capabilities()
    if facts.get("of") != _identity(destination):
        return Capabilities()
    checksum, abort = facts.get("checksum"), facts.get("abort_allowed")
    kind = ChecksumKind(checksum) if checksum in set(ChecksumKind) else None
    conditions = facts.get("conditions")
    return Capabilities(
        kind, abort if isinstance(abort, bool) else None, conditions if isinstance(conditions, bool) else None
    )


@contextlib.contextmanager
def _opened(state_dir: Path) -> Iterator[int]:
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(directory: int) -> dict[str, Any]:
    try:
        # O_NONBLOCK: a FIFO in the file's place must not hang.
        file = os.open(_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(file, "rb") as opened:
            found = json.loads(opened.read(_LONGEST_BYTES))
    except (OSError, ValueError):
        return {}
    sections = found.items() if isinstance(found, dict) else ()
    return {name: facts for name, facts in sections if isinstance(facts, dict)}


def _write(directory: int, text: str) -> None:
    """Put a new file in the place of the old one, in one step; no link that is there is followed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_FRESH, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(_FRESH, flags, 0o600, dir_fd=directory), "wb") as file:
        file.write(text.encode())
    os.rename(_FRESH, _FILE, src_dir_fd=directory, dst_dir_fd=directory)


def _identity(destination: Destination) -> str:
    """Of what the facts are: another bucket, store or role may do other things."""
    parts = (destination.endpoint_url, destination.bucket, destination.role_arn, destination.ssekms_key_id)
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]
