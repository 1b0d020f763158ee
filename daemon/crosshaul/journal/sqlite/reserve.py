"""A file that keeps room on the disk of ``state_dir``, and is given up when that disk is full.

Where the watched files share that disk, only a receipt allows a source to be deleted, and only deleting makes room: a
receipt that finds no room would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from crosshaul.errors import StateDirError, StateDirUnavailableError
from crosshaul.journal.state_dir import private_file

RESERVE = "reserve"
SIZE_BYTES = 8 * 1024 * 1024
_LEFT_FREE_BYTES = SIZE_BYTES // 4
"""What the disk must have left beside it: a reserve that takes the last room would be given up at once."""
_RETRY_SECONDS = 30.0
_BLOCK_BYTES = 512


class Reserve:
    """Holds the room, from one ENOSPC to the next. Its calls block, and never fail: a reserve is no condition."""

    def __init__(self, state_dir: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.spent = False
        """Whether it was given up and there is no room yet for another: then little more may be queued."""
        self._file = state_dir / RESERVE
        self._monotonic = monotonic
        self._held = False
        self._next_try = 0.0

    def keep(self) -> None:
        """Make it where it is missing and the disk has room, which is looked at every 30 s at the most."""
        if not self._held and self._monotonic() >= self._next_try:
            self.make()

    def make(self) -> bool:
        """Make it where it is missing; True if it is there."""
        self._next_try = self._monotonic() + _RETRY_SECONDS
        with contextlib.suppress(OSError, StateDirError):
            self._held = self._is_there() or (self._has_room() and self._allocate())
        self.spent = self.spent and not self._held
        return self._held

    def release(self) -> bool:
        """Give it up; True if that made room."""
        self._held = False
        with contextlib.suppress(OSError):
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

    def _is_there(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self._file.stat().st_blocks * _BLOCK_BYTES >= SIZE_BYTES
        return False

    def _has_room(self) -> bool:
        disk = os.statvfs(self._file.parent)
        return disk.f_bavail * disk.f_frsize >= SIZE_BYTES + _LEFT_FREE_BYTES

    def _allocate(self) -> bool:
        descriptor = private_file(self._file)
        try:
            os.posix_fallocate(descriptor, 0, SIZE_BYTES)
        except OSError:  # no room after all, or a file system that can't do it
            self._file.unlink()
            return False
        finally:
            os.close(descriptor)
        return True
