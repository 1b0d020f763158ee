"""Makes ``state_dir``, private to this process's user, or refuses it."""

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
_TEMPORARY = _FULL | {
    *(errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN),
}
"""Errors that a later start may not meet."""
_OWN_NAMES = frozenset(
    {
        *("lock", "journal.db", "journal.db-wal", "journal.db-shm", "reserve", "control.sock"),
        *("capabilities.json", "capabilities.tmp"),
        "lost+found",  # a file system of its own has it from the start
    }
)
_MARKS_A_STATE_DIR = frozenset({"lock"})
"""A directory with one of these is a state_dir, whatever else it contains."""


def prepare(state_dir: Path) -> None:
    """Make the directory, accessible to its owner alone; raises StateDirError."""
    try:
        state_dir.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StateDirError(f"state_dir {state_dir} is not a directory: set a directory, or a new path.") from error
    except OSError as error:
        raise _refused(state_dir, error) from error
    adopt(state_dir)


def adopt(state_dir: Path) -> None:
    """Make an existing directory private; raises StateDirError if it can't, or must not, be used.

    A directory of another user is refused: that user could replace the journal. One that is open to others and contains
    more than a journal is refused too, because it may be shared on purpose (``/tmp``, ``/srv``).
    """
    try:
        status = state_dir.stat()
        if status.st_uid != os.geteuid() and not _is_mapped(state_dir, status.st_uid):
            raise StateDirError(_of_another(state_dir, status.st_uid))
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            _close_to_others(state_dir, mode)
    except OSError as error:
        raise _refused(state_dir, error) from error


def _is_mapped(state_dir: Path, owner: int) -> bool:
    """Return True if new files there belong to ``owner``: some network mounts map all users to one."""
    probe = state_dir / f".owner-{secrets.token_hex(8)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
    except OSError as error:
        if error.errno in _TEMPORARY:
            raise
        return False
    try:
        return os.fstat(descriptor).st_uid == owner
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()


def _of_another(state_dir: Path, owner: int) -> str:
    belongs = f"state_dir {state_dir} belongs to another user (uid {owner}; this is uid {os.geteuid()}): "
    if os.geteuid() == 0:
        return f"{belongs}run Crosshaul as that user, or set another state_dir."
    return f"{belongs}set a new directory below it, such as {state_dir / 'state'}, or chown it to this user."


def _close_to_others(state_dir: Path, mode: int) -> None:
    names = {entry.name for entry in state_dir.iterdir()}
    if names - _OWN_NAMES and not names & _MARKS_A_STATE_DIR:
        raise StateDirError(
            f"state_dir {state_dir} is open to other users (mode {mode:04o}) and contains other files: "
            "chmod 700 it, or set a directory of its own."
        )
    state_dir.chmod(_PRIVATE_DIRECTORY)


def private_file(path: Path) -> int:
    """Open a file, made if missing, that only its owner can read; return its descriptor. Raises StateDirError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)
    except OSError as error:
        hint = "Free some space." if error.errno in _FULL else _file_hint(path)
        raise unusable(error, f"{path} can't be written: {error.strerror}. {hint}") from error


def _file_hint(path: Path) -> str:
    with suppress(OSError):
        owner = path.lstat().st_uid
        if owner != os.geteuid():
            return f"It belongs to another user (uid {owner}): chown all of {path.parent} to this one."
    return "Make state_dir writable for this user, or set another."


def _refused(state_dir: Path, error: OSError) -> StateDirError:
    hint = "Free some space." if error.errno in _FULL else "Make it for this user with mode 0700, or set another."
    return unusable(error, f"state_dir {state_dir} can't be made or used: {error.strerror}. {hint}")


def unusable(error: OSError, line: str) -> StateDirError:
    """Return the error with the message ``line``: StateDirUnavailableError if a later start may succeed."""
    return (StateDirUnavailableError if error.errno in _TEMPORARY else StateDirError)(line)


def obstacle(state_dir: Path) -> str | None:
    """Return why nothing can be written to ``state_dir`` at the moment (read-only, full), or None."""
    try:
        usage = os.statvfs(state_dir)
    except OSError:
        return None
    if usage.f_flag & os.ST_RDONLY:
        return f"{state_dir} is on a file system that is mounted read-only: mount it for writing."
    if usage.f_blocks and not usage.f_bavail:
        return f"The disk of {state_dir} is full: free some space, and Crosshaul continues."
    return None
