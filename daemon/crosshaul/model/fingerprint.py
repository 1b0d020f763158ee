"""A file as a scan saw it."""

from __future__ import annotations

import os
from typing import NamedTuple


class Fingerprint(NamedTuple):
    """Identifies one content of a file without reading it. A tuple, because a scan makes millions.

    It has no device number: that changes over a reboot on some volumes, and every file would be sent again.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Fingerprint:
        """Return the fingerprint in a stat result."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)

    def is_of(self, stat: os.stat_result) -> bool:
        """Return True if the stat result has this fingerprint."""
        return (
            self.size == stat.st_size
            and self.mtime_ns == stat.st_mtime_ns
            and self.ctime_ns == stat.st_ctime_ns
            and self.inode == stat.st_ino
        )

    def is_same_but_ctime(self, other: Fingerprint) -> bool:
        """Return True if nothing but the ctime differs: after chmod, say, or when another hard link comes or goes."""
        return self._replace(ctime_ns=0) == other._replace(ctime_ns=0)


class Sighting(NamedTuple):
    """A regular file as a scan saw it. ``path`` is relative to the route's root, in the file system's bytes."""

    route: str
    path: bytes
    fingerprint: Fingerprint
