"""Directories and files of the daemon's own, told by device and inode: no way to them leads to a delivery.

state_dir and every ``move_to`` are such directories. A log that standard output or error goes to is such a file: each
line that is delivered would make another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crosshaul.config import Config

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class OwnPaths:
    """What is the daemon's own at this moment."""

    directories: frozenset[Identity] = frozenset()
    logs: frozenset[Identity] = frozenset()
    names: tuple[bytes, ...] = ()
    """The directories' paths, without symlinks."""

    @classmethod
    def look(cls, config: Config) -> OwnPaths:
        """See what is the daemon's own now (blocking); what does not exist is nobody's."""
        paths = list(own_directories(config))
        found = (identity_at(path) for path in paths)
        names = tuple(os.path.realpath(os.fsencode(path)) for path in paths)
        return cls(frozenset(each for each in found if each is not None), _logs(), names)

    def below(self, root: Path) -> frozenset[bytes]:
        """Those of the directories that lie below ``root``, by their paths from there."""
        top = os.path.realpath(os.fsencode(root)).rstrip(b"/") + b"/"
        return frozenset(name.removeprefix(top) for name in self.names if name.startswith(top))


def own_directories(config: Config) -> Iterator[Path]:
    """The directories in which nothing is anybody else's."""
    yield config.state_dir
    for route in config.routes:
        if route.after_upload.move_to is not None:
            yield route.after_upload.move_to


def identity_at(path: Path | str | bytes) -> Identity | None:
    """Device and inode of what is at ``path``, symlinks followed; None if nothing can be seen there."""
    try:
        return identity_of(os.stat(path))  # noqa: PTH116 - bytes are no Path
    except OSError:
        return None


def identity_of(found: os.stat_result) -> Identity:
    """Device and inode in a stat result."""
    return found.st_dev, found.st_ino


def _logs() -> frozenset[Identity]:
    """The regular files that standard output and standard error are."""
    found = []
    for descriptor in (1, 2):
        try:
            status = os.fstat(descriptor)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(identity_of(status))
    return frozenset(found)
