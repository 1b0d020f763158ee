"""Find out whether directories are equal or nested, also through symlinks and bind mounts.

Every command loads the configuration, even while a mount hangs. So all directories are examined at once, in threads,
and for two seconds at most; those that do not respond are compared by name only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path, PurePosixPath

_MAX_WAIT_SECONDS = 2.0
_MAX_THREADS = 64

Identity = tuple[int, int]
"""Device and inode."""


class Directories:
    """Compare directories, each of which is examined once."""

    def __init__(self, paths: Iterable[PurePosixPath]) -> None:
        """Examine the directories (blocking, at most two seconds)."""
        self._probes: dict[PurePosixPath, _Probe] = {path: _Probe(path) for path in paths}
        deadline = time.monotonic() + _MAX_WAIT_SECONDS
        remaining = iter(self._probes.values())
        while time.monotonic() < deadline and (batch := list(islice(remaining, _MAX_THREADS))):
            for probe in batch:
                probe.start()
            for probe in batch:
                probe.join(max(0.0, deadline - time.monotonic()))

    def holds(self, directory: PurePosixPath, path: PurePosixPath) -> bool:
        """True if ``path`` is the directory or is inside it, by name or by inode."""
        if directory == path or directory in path.parents:
            return True
        outer, inner = self._probes[directory].result, self._probes[path].result
        if outer is None or inner is None:
            return False
        return directory in inner.names or outer.identity in inner.identities

    def either_holds(self, one: PurePosixPath, other: PurePosixPath) -> bool:
        """True if the directories are equal, or one is inside the other."""
        return self.holds(one, other) or self.holds(other, one)


class _Ancestry:
    """The names and identities of a directory and its parents."""

    def __init__(self, path: PurePosixPath) -> None:
        real = PurePosixPath(os.path.realpath(path))
        self.names = frozenset((real, *real.parents))
        self.identity = _identity(path)
        identities = (_identity(name) for name in (path, *path.parents, *self.names))
        self.identities = frozenset(identity for identity in identities if identity is not None)


class _Probe(threading.Thread):
    """Examine one directory. A daemon thread, so that a hung mount does not block the exit of the process."""

    def __init__(self, path: PurePosixPath) -> None:
        super().__init__(name="crosshaul-directories", daemon=True)
        self._path = path
        self.result: _Ancestry | None = None

    def run(self) -> None:
        """Examine the directory."""
        self.result = _Ancestry(self._path)


def _identity(path: PurePosixPath) -> Identity | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
