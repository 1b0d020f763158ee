"""A file that keeps room on the disk of ``state_dir``, and is given up piece by piece when that disk is full.

Where the watched files share that disk, only a receipt allows a source to be deleted, and only deleting makes room: a
receipt that finds no room would wait for ever. Whoever fills the disk goes on doing so, and takes what a piece leaves
over: given up at once, all of it would be theirs. For the same reason the journal's log gets the room that it works in
beforehand: written to within that, it needs none.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from crosshaul.errors import StateDirError, StateDirUnavailableError
from crosshaul.journal.sqlite.connect import DATABASE
from crosshaul.journal.state_dir import private_file

RESERVE = "reserve"
SIZE_BYTES = 8 * 1024 * 1024
PIECE_BYTES = SIZE_BYTES // 8
LOG_BYTES = 5 * 1024 * 1024
"""SQLite writes its log anew from the start after each 1,000 pages of 4 KiB, and whatever the last commit adds."""
_LEFT_FREE_BYTES = SIZE_BYTES // 4
"""What the disk must have left beside it: a reserve that takes the last room would be given up at once."""
_RETRY_SECONDS = 30.0
_BLOCK_BYTES = 512


class Reserve:
    """Holds the room, from one ENOSPC to the next. Its calls block, and never fail: a reserve is no condition."""

    def __init__(self, state_dir: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.spent = False
        """Whether a piece was given up and there is no room yet for another: then little more may be queued."""
        self._file = state_dir / RESERVE
        self._log = state_dir / f"{DATABASE}-wal"
        self._monotonic = monotonic
        self._held = False
        self._next_try = 0.0

    def keep(self) -> None:
        """Make it where it is missing and the disk has room, which is looked at every 30 s at the most."""
        if not self._held and self._monotonic() >= self._next_try:
            self.make()

    def make(self) -> bool:
        """Make it where it is missing, or a piece of it; True if all of it is there."""
        self._next_try = self._monotonic() + _RETRY_SECONDS
        with contextlib.suppress(OSError, StateDirError):
            self._held = self._fill() and self._fill_log()
        self.spent = self.spent and not self._held
        return self._held

    def release(self) -> bool:
        """Give up a piece; True if that made room."""
        self._held = False
        with contextlib.suppress(OSError, StateDirError):
            size = self._file.lstat().st_size
            if size > PIECE_BYTES:
                _cut(self._file, size - PIECE_BYTES)
            else:
                self._file.unlink()
            self.spent = True
            return True
        return False

    def check(self) -> None:
        """Raise StateDirUnavailableError while it is spent: what room there is belongs to receipts."""
        if self.spent and not self.make():
            raise StateDirUnavailableError(
                f"The disk of {self._file.parent} is full: what is queued is sent, and nothing new is queued. "
                "Make room: Crosshaul goes on from where it was."
            )

    def _fill(self) -> bool:
        if _filled(self._file, SIZE_BYTES):
            return True
        if not _allocated(self._file):
            self._file.unlink(missing_ok=True)
        return False

    def _fill_log(self) -> bool:
        return not self._log.exists() or _filled(self._log, LOG_BYTES)


def _filled(file: Path, size: int) -> bool:
    """Whether all of it is allocated; done now if it isn't and there is room. Raises OSError, StateDirError."""
    missing = size - _allocated(file)
    if missing <= 0:
        return True
    disk = os.statvfs(file.parent)
    return disk.f_bavail * disk.f_frsize >= missing + _LEFT_FREE_BYTES and _allocate(file, size)


def _allocated(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_blocks * _BLOCK_BYTES
    return 0


def _allocate(file: Path, size: int) -> bool:
    descriptor = private_file(file)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:  # no room after all, or a file system that can't do it
        return False
    finally:
        os.close(descriptor)
    return True


def _cut(file: Path, size: int) -> None:
    descriptor = private_file(file)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)
