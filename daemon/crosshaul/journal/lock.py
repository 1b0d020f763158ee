"""The lock on ``state_dir``, which one process at a time can hold."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from crosshaul.errors import LockedError
from crosshaul.journal.state_dir import private_file, unusable

LOCK = "lock"
_TRIES = 6
_PAUSE_SECONDS = 0.02


class StateLock:
    """An exclusive flock on ``state_dir/lock``, with the holder's pid in it. It ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, state_dir: Path) -> StateLock:
        """Take the lock; raises LockedError with the holder's pid. Blocks up to 100 ms: a reader may probe it."""
        descriptor = private_file(state_dir / LOCK)
        try:
            _lock_soon(descriptor, state_dir)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            hint = "Free some space." if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Use a local disk."
            raise unusable(error, f"{state_dir / LOCK} can't be locked: {error.strerror}. {hint}") from error
        except LockedError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Release the lock."""
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
        "stop it first, or give this one its own state_dir."
    )


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def holder(state_dir: Path) -> int | None:
    """Return the pid of the process that holds the lock, or None. Blocks up to 100 ms."""
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
