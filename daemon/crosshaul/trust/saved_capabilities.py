"""Save the capabilities of a store that a check found, for the next start of the daemon."""

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

_SAVED_DETAILS = ("checksum", "abort_allowed", "list_parts_allowed", "missing_key_status", "encryption", "conditions")
_FILE, _NEW_FILE = "capabilities.json", "capabilities.tmp"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The known capabilities; None = unknown."""

    checksum: ChecksumKind | None = None
    """The checksum that the store verifies."""
    abort_allowed: bool | None = None
    """True if the role may call AbortMultipartUpload."""
    conditions: bool | None = None
    """True if the store supports If-None-Match in PutObject."""


def save(state_dir: Path, destination: Destination, findings: Iterable[Finding]) -> None:
    """Save the findings of a check (blocking), unless ``state_dir`` is missing or belongs to another user.

    Another owner of the directory could replace the file by a link, which root would follow.
    """
    details = {name: value for finding in findings for name, value in finding.details.items() if name in _SAVED_DETAILS}
    with contextlib.suppress(OSError), _opened(state_dir) as directory:
        if os.fstat(directory).st_uid == os.geteuid():
            saved = _read(directory)
            saved[destination.name] = {"of": _identity(destination), **details}
            _write(directory, json.dumps(saved, indent=2) + "\n")


def load(state_dir: Path, destination: Destination) -> Capabilities:
    """Load the capabilities of a destination (blocking); unknown when its bucket, store, role or key changed."""
    try:
        with _opened(state_dir) as directory:
            details = _read(directory).get(destination.name, {})
    except OSError:
        return Capabilities()
    if details.get("of") != _identity(destination):
        return Capabilities()
    checksum, abort = details.get("checksum"), details.get("abort_allowed")
    kind = ChecksumKind(checksum) if checksum in set(ChecksumKind) else None
    conditions = details.get("conditions")
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
        # O_NONBLOCK: a FIFO under this name must not block.
        file = os.open(_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(file, "rb") as opened:
            content = json.loads(opened.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}
    sections = content.items() if isinstance(content, dict) else ()
    return {name: details for name, details in sections if isinstance(details, dict)}


def _write(directory: int, text: str) -> None:
    """Replace the file atomically, without following links."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NEW_FILE, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(_NEW_FILE, flags, 0o600, dir_fd=directory), "wb") as file:
        file.write(text.encode())
    os.rename(_NEW_FILE, _FILE, src_dir_fd=directory, dst_dir_fd=directory)


def _identity(destination: Destination) -> str:
    """Return a hash of what the capabilities depend on: store, bucket, role and key."""
    parts = (destination.endpoint_url, destination.bucket, destination.role_arn, destination.ssekms_key_id)
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]
