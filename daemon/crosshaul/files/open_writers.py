"""Tell whether a program has a file open for writing, or mapped writable.

A read lease (fcntl F_SETLEASE) is refused by the kernel while any process has the file open for writing or mapped
writable, and it says so afterwards if one tried to open it. It needs the file to be ours, or CAP_LEASE, and a local
file system. Elsewhere the open files of all processes that this user may see stand in /proc.
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
    """A read lease on an open file, for as long as nobody else wants to write. A writer waits until ``release``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, descriptor: int) -> Self | None:
        """Take the lease; None where this file, system or user can have none. Raises BlockingIOError: a writer."""
        if sys.platform != "linux":
            return None
        try:
            # Who breaks the lease has the kernel signal us: by SIGIO, which ends a process, unless another is named.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise BlockingIOError(errno.EAGAIN, "a program has it open for writing") from error
            return None
        return cls(descriptor)

    @property
    def broken(self) -> bool:
        """Whether somebody has tried to open the file for writing, and waits for us."""
        return fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def release(self) -> None:
        """Let writers go on."""
        fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def open_for_writing() -> frozenset[tuple[int, int]]:
    """Device and inode of each regular file that a process has open for writing, as far as this user may see.

    A look at all processes: milliseconds to tenths of a second. A file that is mapped and closed is not seen.
    """
    return frozenset(_seen())


def _seen() -> Iterator[tuple[int, int]]:
    for process in _entries("/proc"):
        if process.isdigit():
            for descriptor in _entries(f"/proc/{process}/fd"):
                if (found := _written(process, descriptor)) is not None:
                    yield found


def _entries(directory: str) -> list[str]:
    """Nothing where there is no such directory, or it is another user's."""
    try:
        return os.listdir(directory)  # noqa: PTH208 - tens of thousands, which need not be Paths
    except OSError:
        return []


def _written(process: str, descriptor: str) -> tuple[int, int] | None:
    try:
        found = os.stat(f"/proc/{process}/fd/{descriptor}")  # noqa: PTH116
        if not stat.S_ISREG(found.st_mode):
            return None
        info = Path(f"/proc/{process}/fdinfo/{descriptor}").read_bytes().splitlines()
        flags = next(int(line.split()[1], 8) for line in info if line.startswith(b"flags:"))
    except (OSError, StopIteration, ValueError):
        return None
    return (found.st_dev, found.st_ino) if flags & _ACCESS_MODE else None
