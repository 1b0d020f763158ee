"""What is to be done about writers that can't be seen: where that is so, and how long a source stays because of it.

The kernel tells of a writer by a lease alone (see open_files.py): of one's own files, or with CAP_LEASE, where the file
system keeps leases. Elsewhere /proc shows some writers and rules none out: those of other users, in other containers
and on other machines are not in it. There a source goes once something else speaks for its writer having ended.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from crosshaul.files.file_clock import LOCAL
from crosshaul.files.mounts import types_at
from crosshaul.model import SettleReason

_FINISHED_SECONDS = 60.0
"""After its delivery, for a source that was renamed into place, or that its writer was heard to close: a log that was
rotated is written to for a moment longer, and another writer may not have closed it."""
_SILENT_SECONDS = 900.0
"""The same for one of which nothing is known but that it stood still."""
_PATIENCE = {SettleReason.MARKER: 0.0, SettleReason.FINISHED: _FINISHED_SECONDS, SettleReason.CLOSED: _FINISHED_SECONDS}

_LEASING = LOCAL | {"cifs", "fuseblk", "nfs4", "nilfs2", "smb3", "ubifs"}
"""Where a lease that is granted says that nobody writes, on other machines either; FUSE's are of this machine only."""
_CAP_LEASE = 28
_ALL_USERS = [b"0", b"0", b"4294967295"]
"""The map of users outside of user namespaces; within one no capability makes for a lease."""
RULE = (
    f"such a source goes {_FINISHED_SECONDS:.0f} s after its delivery if it was renamed into place or its writer was "
    f"heard to close it, {_SILENT_SECONDS / 60:.0f} min after it if not, and at once with a marker"
)


@dataclass(frozen=True, slots=True)
class Leases:
    """What leases tell on a file system. The default has them tell nothing."""

    granted_tells: bool = False
    """One that is granted: nobody has the file open for writing."""
    refused_tells: bool = False
    """One that is refused for now: somebody has. An NFS client refuses one, too, for want of a delegation."""


def leases_at(root: Path, *, with_mounts: bool) -> Leases:
    """What leases tell in the tree at ``root``; ``with_mounts``: on the file systems that are mounted in it, too."""
    kinds = _types(root, with_mounts=with_mounts)
    return Leases(granted_tells=kinds <= _LEASING, refused_tells=kinds <= LOCAL) if kinds else Leases()


def patience(settled_by: SettleReason | None) -> float:
    """Seconds after its delivery that a source stays where its writers can't be seen, by how it came to rest."""
    return _PATIENCE.get(settled_by, _SILENT_SECONDS) if settled_by is not None else _SILENT_SECONDS


def reason(descriptor: int, settled_by: SettleReason | None) -> str:
    """Why an open file stays, and what to do about it; for people, without the file's name."""
    seconds = patience(settled_by)
    wait = f"{seconds / 60:.0f} min" if seconds > _FINISHED_SECONDS else f"{seconds:.0f} s"
    owner = os.fstat(descriptor).st_uid
    why, cure = "its file system has no leases that tell", "have writers rename files into place"
    if owner != os.geteuid() and not _may_lease():
        why = f"it belongs to another user (uid {owner}), and the service has no CAP_LEASE"
        cure = f"give the service CAP_LEASE, run it as that user, or {cure}"
    return f"whether a program still writes to it can't be seen: {why}; it stays for {wait} after its delivery: {cure}"


def foreseen(root: Path, *, with_mounts: bool) -> str | None:
    """Which writers won't be seen in the tree at ``root``, and what to do about it; None if all will, it seems."""
    kinds = _types(root, with_mounts=with_mounts)
    if not kinds:
        return "this system does not tell whether a program has a file open for writing; rename files into place"
    if not kinds <= _LEASING:
        named = ", ".join(sorted(kinds - _LEASING))
        return f"{named} has no leases that tell of other machines' writers; have writers rename files into place"
    if _may_lease() or _is_ours_alone(root):
        return None
    return (
        f"of files of other users than uid {os.geteuid()} writers are not seen without CAP_LEASE: give it to the "
        "service, run it as the user that writes, or have writers rename files into place"
    )


def _types(root: Path, *, with_mounts: bool) -> frozenset[str]:
    """The types of the file systems of the tree; none where the system has no mount table."""
    if sys.platform != "linux":
        return frozenset()
    try:
        holder, below = types_at(os.path.realpath(os.fsencode(root)), Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return frozenset()
    return below | {holder} if with_mounts else frozenset({holder})


def _may_lease() -> bool:
    """Whether this process may take leases on other users' files (capabilities(7), CAP_LEASE)."""
    try:
        status = Path("/proc/self/status").read_bytes()
        users = Path("/proc/self/uid_map").read_bytes().split()
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith(b"CapEff:")), b"0")
    return users == _ALL_USERS and bool(int(effective, 16) >> _CAP_LEASE & 1)


def _is_ours_alone(root: Path) -> bool:
    """Whether none but this user and root can make files in the directory itself."""
    try:
        found = root.stat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
