"""Which directories are one, or lie in each other, by their names and in truth: symlinks and bind mounts have several.

A configuration is read by every command, also beside a mount that hangs: what the disk says of a directory is waited
for with all others at once, and for seconds. What does not answer is known by its name alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path, PurePosixPath

_PATIENCE_SECONDS = 2.0
_AT_ONCE = 64

Identity = tuple[int, int]
"""Device and inode."""


class Directories:
    """What is known of some directories, asked once for each."""

    def __init__(self, paths: Iterable[PurePosixPath]) -> None:
        """Ask the disk; takes some seconds at the most."""
        self._facts: dict[PurePosixPath, _Facts] = {path: _Facts(path) for path in paths}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        waiting = iter(self._facts.values())
        while time.monotonic() < deadline and (some := list(islice(waiting, _AT_ONCE))):
            for facts in some:
                facts.start()
            for facts in some:
                facts.join(max(0.0, deadline - time.monotonic()))

    def holds(self, directory: PurePosixPath, path: PurePosixPath) -> bool:
        """Whether ``path`` is the directory or lies in it, by its name or in truth."""
        if directory == path or directory in path.parents:
            return True
        outer, inner = self._facts[directory].truth, self._facts[path].truth
        if outer is None or inner is None:
            return False
        return directory in inner.names or outer.identity in inner.identities

    def either_holds(self, one: PurePosixPath, other: PurePosixPath) -> bool:
        """Whether one is the other, or lies in it."""
        return self.holds(one, other) or self.holds(other, one)


class _Truth:
    """What the disk says of a directory; names and identities are its own and those above it."""

    def __init__(self, path: PurePosixPath) -> None:
        real = PurePosixPath(os.path.realpath(path))
        self.names = frozenset((real, *real.parents))
        self.identity = _identity(path)
        above = (_identity(each) for each in (path, *path.parents, *self.names))
        self.identities = frozenset(each for each in above if each is not None)


class _Facts(threading.Thread):
    """Asks the disk of one directory. A daemon thread: one that hangs holds up no end of the process."""

    def __init__(self, path: PurePosixPath) -> None:
        super().__init__(name="crosshaul-directories", daemon=True)
        self._path = path
        self.truth: _Truth | None = None

    def run(self) -> None:
        """Ask."""
        self.truth = _Truth(self._path)


def _identity(path: PurePosixPath) -> Identity | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
