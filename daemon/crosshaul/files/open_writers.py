"""Find out whether a program has a file open for writing, or mapped writable.

The kernel refuses a read lease (fcntl F_SETLEASE) while a process has the file open for writing or mapped writable, and
breaks it when a process wants to open the file for writing. A lease needs a local file system, and ownership of the
file or CAP_LEASE. In other cases /proc lists the open files of all processes that this user may see.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

_ACCESS_MODE = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


class ReadLease:
    """A read lease on an open file. A program that opens the file for writing waits until ``release``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, descriptor: int) -> Self | None:
        """Take the lease; None if it is not supported or permitted. Raises BlockingIOError if there is a writer."""
        if sys.platform != "linux":
            return None
        try:
            # The kernel signals a lease that is broken: by SIGIO, which ends the process, unless another is set.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise BlockingIOError(errno.EAGAIN, "a program has it open for writing") from error
            return None
        return cls(descriptor)

    @property
    def broken(self) -> bool:
        """True if a program waits to open the file for writing."""
        return fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def release(self) -> None:
        """Release the lease, so that writers continue."""
        fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def open_for_writing() -> frozenset[tuple[int, int]]:
    """Return device and inode of each regular file that a process of this user's view has open for writing.

    Reads all of /proc: takes milliseconds to tenths of a second. Files that are mapped but closed are missing.
    """
    return frozenset(_written_files())


def _written_files() -> Iterator[tuple[int, int]]:
    for process in _entries("/proc"):
        if process.isdigit():
            for descriptor in _entries(f"/proc/{process}/fd"):
                if (identity := _identity_if_written(process, descriptor)) is not None:
                    yield identity


def _entries(directory: str) -> list[str]:
    """Return the directory's entries; none if it is gone or belongs to another user."""
    try:
        return os.listdir(directory)  # noqa: PTH208 - tens of thousands, which need not be Paths
    except OSError:
        return []


def _identity_if_written(process: str, descriptor: str) -> tuple[int, int] | None:
    try:
        status = os.stat(f"/proc/{process}/fd/{descriptor}")  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            return None
        info = Path(f"/proc/{process}/fdinfo/{descriptor}").read_bytes().splitlines()
        flags = next(int(line.split()[1], 8) for line in info if line.startswith(b"flags:"))
    except (OSError, StopIteration, ValueError):
        return None
    return (status.st_dev, status.st_ino) if flags & _ACCESS_MODE else None
