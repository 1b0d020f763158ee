"""``state_dir`` itself: made private, and held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

from crosshaul.errors import LockedError, StateDirError, StateDirUnavailableError

LOCK = "lock"
_PASSING = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN),
    }
)
"""What may be over at the next start."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600
_TRIES = 6
_PAUSE_SECONDS = 0.02


def prepare(state_dir: Path) -> None:
    """Make the directory, open to its owner alone; raises StateDirError.

    One that was there and is open to others is closed if it is empty or a journal's already; if it holds anything
    else it is left as it is and refused, because it may be shared on purpose (``/tmp``, ``/srv``).
    """
    try:
        state_dir.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        mode = stat.S_IMODE(state_dir.stat().st_mode)
        if mode & 0o077:
            _close_to_others(state_dir, mode)
    except FileExistsError as error:
        raise StateDirError(f"state_dir {state_dir} is not a directory: name one, or a path that is free.") from error
    except OSError as error:
        cure = "Make room." if error.errno in _FULL else "Make it for this user with mode 0700, or name another."
        raise _unusable(error, f"state_dir {state_dir} can't be made or used: {error.strerror}. {cure}") from error


def _close_to_others(state_dir: Path, mode: int) -> None:
    names = {entry.name for entry in state_dir.iterdir()}
    if names and LOCK not in names:
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
        cure = "Make room." if error.errno in _FULL else "Make state_dir writable for this user, or name another."
        raise _unusable(error, f"{path} can't be written: {error.strerror}. {cure}") from error


def _unusable(error: OSError, line: str) -> StateDirError:
    return (StateDirUnavailableError if error.errno in _PASSING else StateDirError)(line)


class StateLock:
    """An exclusive flock on ``state_dir/lock``, with the holder's pid in it; the kernel drops it with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, state_dir: Path) -> StateLock:
        """Take the lock, or raise LockedError with the pid of who has it. Blocks for 100 ms: a reader may be asking."""
        descriptor = private_file(state_dir / LOCK)
        try:
            _lock_soon(descriptor, state_dir)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            cure = "Make room." if error.errno in _FULL else "Use a local disk."
            raise _unusable(error, f"{state_dir / LOCK} can't be locked: {error.strerror}. {cure}") from error
        except LockedError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let go of the lock."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _lock_soon(descriptor: int, state_dir: Path) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return
    pid = _pid_in(descriptor)
    raise LockedError(
        f"Another crosshaul ({f'pid {pid}' if pid else 'pid unknown'}) is using {state_dir}: "
        "stop it first, or give this one a state_dir of its own."
    )


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def holder(state_dir: Path) -> int | None:
    """The pid of the process that holds the lock; None if nobody does. Blocks for 100 ms at the most."""
    try:
        descriptor = os.open(state_dir / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if (pid := _pid_in(descriptor)) is not None:
                return pid
            time.sleep(_PAUSE_SECONDS)
        else:
            return None
    return None
