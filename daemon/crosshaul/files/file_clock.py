"""Pure: how a file system's time stamps relate to this machine's clock, and how fine they are.

A local disk's stamps are given by this kernel. A file server's are given by the server, whose clock may be seconds or
hours away from ours, so its stamps are compared with each other and never with our clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from crosshaul.model import Fingerprint

_SECOND_NS = 10**9
_TICK = 0.01
"""Seconds between two time stamps of a kernel's coarse clock: 1 to 10 ms, by its CONFIG_HZ."""
_COARSE_TICK = 2.0
"""The same where stamps are whole seconds: FAT has two, ext4 with inodes of 128 bytes, NFSv3 and HFS+ have one."""

# FUSE is missing on purpose: its stamps are those of a program, which may speak for a server.
LOCAL = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus", "jfs", "msdos", "ntfs3", "overlay",
     "ramfs", "reiserfs", "tmpfs", "vfat", "xfs", "zfs"}
)  # fmt: skip
"""File systems of which this kernel is the master."""
_KEEPS_INODES = LOCAL | {"beegfs", "ceph", "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2"}
"""Others (FUSE, SMB) may make a number up at each look, or at each mount."""
_MULTIGRAIN = frozenset({"btrfs", "ext4", "tmpfs", "xfs"})
"""File systems with FS_MGTIME (linux/include/linux/fs.h): the first change after a stat gets a stamp of its own."""
_MULTIGRAIN_SINCE = (6, 13)
_STEP_NS = 100_000_000
"""By how much the two clocks of this machine have to part for it to count as a step, rather than an adjustment."""


@dataclass(frozen=True, slots=True)
class FileClock:
    """What a file system's time stamps and inodes can be trusted for. The default trusts them for nothing."""

    ours: bool = False
    """This kernel gives them: they can be compared with our own clock."""
    multigrain: bool = False
    """A file that is changed after it was looked at always gets another ctime."""
    keeps_inodes: bool = False
    """A file keeps its inode number for as long as it is there."""

    def tick(self, fingerprint: Fingerprint) -> float:
        """Seconds after the file's last change in which another one could get the same ctime."""
        if is_coarse(fingerprint):
            return _COARSE_TICK
        return 0.0 if self.multigrain else _TICK


def is_coarse(fingerprint: Fingerprint) -> bool:
    """Whether the file system seems to keep whole seconds only."""
    return fingerprint.ctime_ns % _SECOND_NS == 0


def of_mounts(holder: str, below: frozenset[str], release: str) -> FileClock:
    """The clock of a tree that is on the file system ``holder``, with others mounted ``below``.

    ``release`` is the kernel's, as uname(2) gives it.
    """
    kinds = {holder, *below}
    multigrain = kinds <= _MULTIGRAIN and _version(release) >= _MULTIGRAIN_SINCE
    return FileClock(ours=kinds <= LOCAL, multigrain=multigrain, keeps_inodes=kinds <= _KEEPS_INODES)


def _version(release: str) -> tuple[int, ...]:
    numbers = release.split("-", maxsplit=1)[0].split(".")[:2]
    return tuple(int(number) for number in numbers) if all(number.isdecimal() for number in numbers) else ()


class ClockSteps:
    """By how much our clock was set forward while we watched: stamps from before look that much older."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._forward = 0.0
        self._last_ns = 0

    def note(self, now: float, wall_ns: int) -> None:
        """Compare the wall clock with the monotonic one."""
        offset_ns = wall_ns - int(now * 1e9)
        if self._offset_ns is not None and offset_ns - self._offset_ns > _STEP_NS:
            self._forward += (offset_ns - self._offset_ns) / 1e9
            self._last_ns = wall_ns
        self._offset_ns = offset_ns

    def since(self, stamp_ns: int) -> float:
        """How many seconds of a stamp's age may be due to steps."""
        return self._forward if stamp_ns < self._last_ns else 0.0
