"""``state_dir`` itself: made for this process's user alone, or refused with what to do."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from crosshaul.errors import StateDirError, StateDirUnavailableError

_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING = _FULL | {
    *(errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN),
}
"""What may be over at the next start."""
_OURS = frozenset(
    {
        *("lock", "journal.db", "journal.db-wal", "journal.db-shm", "reserve", "control.sock"),
        *("capabilities.json", "capabilities.tmp"),
        "lost+found",  # a file system of its own has it from the start
    }
)
_ENOUGH = frozenset({"lock"})
"""Whoever has this in it is a state_dir, whatever else is there."""


def prepare(state_dir: Path) -> None:
    """Make the directory, open to its owner alone; raises StateDirError."""
    try:
        state_dir.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StateDirError(f"state_dir {state_dir} is not a directory: name one, or a path that is free.") from error
    except OSError as error:
        raise _refused(state_dir, error) from error
    adopt(state_dir)


def adopt(state_dir: Path) -> None:
    """Close a directory that is there to others; raises StateDirError if it can't be, or should not be, ours.

    One that belongs to another user is refused: what is made in it would lock its owner out, or he could replace it.
    One that is open to others and holds more than a journal is left as it is, because it may be shared on purpose
    (``/tmp``, ``/srv``).
    """
    try:
        found = state_dir.stat()
        if found.st_uid != os.geteuid() and not _is_mapped(state_dir, found.st_uid):
            raise StateDirError(_of_another(state_dir, found.st_uid))
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            _close_to_others(state_dir, mode)
    except OSError as error:
        raise _refused(state_dir, error) from error


def _is_mapped(state_dir: Path, owner: int) -> bool:
    """Whether all that is made there belongs to ``owner``, whoever makes it: some network mounts know one user only."""
    probe = state_dir / f".owner-{secrets.token_hex(8)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
    except OSError as error:
        if error.errno in _PASSING:
            raise
        return False
    try:
        return os.fstat(descriptor).st_uid == owner
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()


def _of_another(state_dir: Path, owner: int) -> str:
    told = f"state_dir {state_dir} belongs to another user (uid {owner}; this is uid {os.geteuid()}): "
    if os.geteuid() == 0:
        return f"{told}run Crosshaul as that user, or name another."
    return f"{told}name a directory below it that is free, such as {state_dir / 'state'}, or chown it to this user."


def _close_to_others(state_dir: Path, mode: int) -> None:
    names = {entry.name for entry in state_dir.iterdir()}
    if names - _OURS and not names & _ENOUGH:
        raise StateDirError(
            f"state_dir {state_dir} is open to other users (mode {mode:04o}) and holds other files: "
            "chmod 700 it, or name a directory of its own."
        )
    state_dir.chmod(_PRIVATE_DIRECTORY)


def private_file(path: Path) -> int:
    """A descriptor of a file that only its owner can read, made if need be; raises StateDirError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)
    except OSError as error:
        cure = "Make room." if error.errno in _FULL else _file_cure(path)
        raise unusable(error, f"{path} can't be written: {error.strerror}. {cure}") from error


def _file_cure(path: Path) -> str:
    with suppress(OSError):
        owner = path.lstat().st_uid
        if owner != os.geteuid():
            return f"It belongs to another user (uid {owner}): chown all of {path.parent} to this one."
    return "Make state_dir writable for this user, or name another."


def _refused(state_dir: Path, error: OSError) -> StateDirError:
    cure = "Make room." if error.errno in _FULL else "Make it for this user with mode 0700, or name another."
    return unusable(error, f"state_dir {state_dir} can't be made or used: {error.strerror}. {cure}")


def unusable(error: OSError, line: str) -> StateDirError:
    """The error to raise with ``line``: of the kind that a later start may not meet, or for good."""
    return (StateDirUnavailableError if error.errno in _PASSING else StateDirError)(line)


def obstacle(state_dir: Path) -> str | None:
    """Return why nothing can be written to ``state_dir`` at the moment (read-only, full), or None."""
    try:
        found = os.statvfs(state_dir)
    except OSError:
        return None
    if found.f_flag & os.ST_RDONLY:
        return f"{state_dir} is on a file system that is mounted read-only: mount it for writing."
    if found.f_blocks and not found.f_bavail:
        return f"The disk of {state_dir} is full: make room, and Crosshaul goes on from where it was."
    return None
