"""Directories and files of the daemon's own, told by device and inode: no way to them leads to a delivery.

state_dir and every ``move_to`` are such directories. A log that standard output or error goes to is such a file: each
line that is delivered would make another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class OwnPaths:
    """What is the daemon's own at this moment."""

    directories: frozenset[Identity] = frozenset()
    logs: frozenset[Identity] = frozenset()

    @classmethod
    def look(cls, directories: Iterable[Path]) -> OwnPaths:
        """See which directories and files these are now (blocking); what does not exist is nobody's."""
        found = (identity_at(path) for path in directories)
        return cls(frozenset(each for each in found if each is not None), _logs())


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
