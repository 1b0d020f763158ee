"""Find out where a file's writers can be seen, and how long a source is kept where they can't.

Only a lease reliably tells whether a program writes to a file (see files/open_writers.py): for files of the same user,
or with CAP_LEASE, on file systems that support leases. /proc lists only some writers: not those of other users, in
other containers or on other machines. Where leases don't tell, a source is removed after a delay that depends on how
the file settled.
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
"""Delay after the delivery of a source that was renamed into place or closed by its writer: a rotated log is written to
for a moment longer, and another writer may still have it open."""
_QUIET_SECONDS = 900.0
"""The same for a source of which only is known that it did not change."""
_KEEP_SECONDS: dict[SettleReason | None, float] = {
    SettleReason.MARKER: 0.0,
    SettleReason.FINISHED: _FINISHED_SECONDS,
    SettleReason.CLOSED: _FINISHED_SECONDS,
}

_LEASE_TYPES = LOCAL | {"cifs", "fuseblk", "nfs4", "nilfs2", "smb3", "ubifs"}
"""File systems on which a granted lease rules out writers, on other machines too (FUSE: this machine only)."""
_CAP_LEASE = 28
_ALL_USERS = [b"0", b"0", b"4294967295"]
"""The uid_map outside user namespaces; in a user namespace no capability allows leases on other users' files."""
RULE = (
    f"such a source is removed {_FINISHED_SECONDS:.0f} s after its delivery if it was renamed into place or closed by "
    f"its writer, at once if it has a marker, and else after {_QUIET_SECONDS / 60:.0f} min"
)


@dataclass(frozen=True, slots=True)
class Leases:
    """The meaning of leases on a file system; by default they tell nothing."""

    granted_tells: bool = False
    """A granted lease means that no program has the file open for writing."""
    refused_tells: bool = False
    """A refused lease means that a program has. An NFS client also refuses a lease if it lacks a delegation."""


def leases_at(root: Path, *, with_mounts: bool) -> Leases:
    """Return what leases tell in the tree at ``root``; ``with_mounts``: including file systems mounted in it."""
    kinds = _types(root, with_mounts=with_mounts)
    return Leases(granted_tells=kinds <= _LEASE_TYPES, refused_tells=kinds <= LOCAL) if kinds else Leases()


def keep_seconds(settled_by: SettleReason | None) -> float:
    """Return how long after its delivery a source is kept where its writers can't be seen, by how it settled."""
    return _KEEP_SECONDS.get(settled_by, _QUIET_SECONDS)


def why_kept(descriptor: int, settled_by: SettleReason | None) -> str:
    """Return why an open file is kept, and what to do about it, without the file's name."""
    seconds = keep_seconds(settled_by)
    wait = f"{seconds / 60:.0f} min" if seconds > _FINISHED_SECONDS else f"{seconds:.0f} s"
    owner = os.fstat(descriptor).st_uid
    why, hint = "its file system has no leases that show writers", "have writers rename files into place"
    if owner != os.geteuid() and not _may_lease():
        why = f"it belongs to another user (uid {owner}), and the service has no CAP_LEASE"
        hint = f"give the service CAP_LEASE, run it as that user, or {hint}"
    return f"programs that write to it can't be seen: {why}; it is kept for {wait} after its delivery; {hint}"


def invisible_writers(root: Path, *, with_mounts: bool) -> str | None:
    """Return which writers can't be seen in the tree at ``root``, and what to do about it; None if all can."""
    kinds = _types(root, with_mounts=with_mounts)
    if not kinds:
        return "this system does not show which files are open for writing; have writers rename files into place"
    if not kinds <= _LEASE_TYPES:
        types = ", ".join(sorted(kinds - _LEASE_TYPES))
        return f"{types} has no leases that show writers on other machines; have writers rename files into place"
    if _may_lease() or _is_private(root):
        return None
    return (
        f"writers to files of users other than uid {os.geteuid()} can't be seen without CAP_LEASE: give it to the "
        "service, run the service as the user that writes, or have writers rename files into place"
    )


def _types(root: Path, *, with_mounts: bool) -> frozenset[str]:
    """Return the types of the tree's file systems; empty if the system has no mount table."""
    if sys.platform != "linux":
        return frozenset()
    try:
        holder, below = types_at(os.path.realpath(os.fsencode(root)), Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return frozenset()
    return below | {holder} if with_mounts else frozenset({holder})


def _may_lease() -> bool:
    """Return whether this process may take leases on other users' files (capabilities(7), CAP_LEASE)."""
    try:
        status = Path("/proc/self/status").read_bytes()
        users = Path("/proc/self/uid_map").read_bytes().split()
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith(b"CapEff:")), b"0")
    return users == _ALL_USERS and bool(int(effective, 16) >> _CAP_LEASE & 1)


def _is_private(root: Path) -> bool:
    """Return whether only this user and root can create files in the directory itself."""
    try:
        status = root.stat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
