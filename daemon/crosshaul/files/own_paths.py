"""The daemon's own directories and files, identified by device and inode: they are never delivered.

Its directories are state_dir and every ``move_to``. A log that standard output or error is written to is its own file:
delivering it would log further lines.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crosshaul.config import Config

REMOVAL_PREFIX = b".crosshaul-removing-"
"""Prefix of the temporary name of a source file between its last check and its deletion."""

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class OwnPaths:
    """A snapshot of the daemon's own paths."""

    directories: frozenset[Identity] = frozenset()
    logs: frozenset[Identity] = frozenset()
    names: tuple[bytes, ...] = ()
    """The directories' paths, without symlinks."""

    @classmethod
    def read(cls, config: Config) -> OwnPaths:
        """Return the present snapshot (blocking). Paths that do not exist are left out."""
        paths = list(own_directories(config))
        identities = (identity_at(path) for path in paths)
        names = tuple(os.path.realpath(os.fsencode(path)) for path in paths)
        return cls(frozenset(identity for identity in identities if identity is not None), _logs(), names)

    def below(self, root: Path) -> frozenset[bytes]:
        """Return the directories below ``root``, as paths relative to it."""
        top = os.path.realpath(os.fsencode(root)).rstrip(b"/") + b"/"
        return frozenset(name.removeprefix(top) for name in self.names if name.startswith(top))


def own_directories(config: Config) -> Iterator[Path]:
    """Yield the directories that hold only the daemon's own files."""
    yield config.state_dir
    for route in config.routes:
        if route.after_upload.move_to is not None:
            yield route.after_upload.move_to


def identity_at(path: Path | str | bytes) -> Identity | None:
    """Return device and inode of ``path``, following symlinks; None if it can't be read."""
    try:
        return identity_of(os.stat(path))  # noqa: PTH116 - bytes are no Path
    except OSError:
        return None


def identity_of(status: os.stat_result) -> Identity:
    """Return device and inode of a stat result."""
    return status.st_dev, status.st_ino


def _logs() -> frozenset[Identity]:
    """Return the regular files that standard output and standard error write to."""
    identities = []
    for descriptor in (1, 2):
        try:
            status = os.fstat(descriptor)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            identities.append(identity_of(status))
    return frozenset(identities)
