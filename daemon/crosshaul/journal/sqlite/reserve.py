"""A file that reserves space on the disk of ``state_dir``, and is released piece by piece when that disk is full.

If the watched files share that disk, only a receipt allows a source to be deleted, and only deleting frees space: a
receipt that finds no space would wait for ever. The program that fills the disk takes all space that is released and
not used at once, so the reserve is released piece by piece. For the same reason the journal's write-ahead log gets its
space in advance.
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
"""SQLite restarts its log after 1,000 pages of 4 KiB; the last commit may exceed that."""
_LEFT_FREE_BYTES = SIZE_BYTES // 4
"""Space that must stay free beside the reserve: a reserve that fills the disk would be released at once."""
_RETRY_SECONDS = 30.0
_BLOCK_BYTES = 512


class Reserve:
    """Reserves space for receipts. Its calls block. Only ``check`` raises: Crosshaul also works without a reserve."""

    def __init__(self, state_dir: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.spent = False
        """True from the release of a piece until it can be allocated again: then little more may be queued."""
        self._file = state_dir / RESERVE
        self._log = state_dir / f"{DATABASE}-wal"
        self._monotonic = monotonic
        self._held = False
        self._next_try = 0.0

    def keep(self) -> None:
        """Allocate the reserve if it is incomplete; tries at most every 30 s."""
        if not self._held and self._monotonic() >= self._next_try:
            self.make()

    def make(self) -> bool:
        """Allocate the reserve, as far as there is space; return True if it is complete."""
        self._next_try = self._monotonic() + _RETRY_SECONDS
        with contextlib.suppress(OSError, StateDirError):
            self._held = self._fill() and self._fill_log()
        self.spent = self.spent and not self._held
        return self._held

    def release(self) -> bool:
        """Release a piece; return True if that freed space."""
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
        """Raise StateDirUnavailableError while the reserve is spent: the space left is for receipts."""
        if self.spent and not self.make():
            raise StateDirUnavailableError(
                f"The disk of {self._file.parent} is full: queued files are sent, but no new ones are queued. "
                "Free some space: Crosshaul then continues."
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
    """Allocate the file, if there is space; return True if it is allocated. Raises OSError, StateDirError."""
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
    except OSError:  # no space after all, or unsupported by the file system
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
