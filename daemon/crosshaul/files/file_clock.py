"""Relation of a file system's time stamps to this machine's clock, and their resolution. Pure.

This kernel makes the stamps of a local disk. A file server makes its own, and its clock may be seconds or hours away
from ours, so its stamps are compared with each other and never with our clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from crosshaul.model import Fingerprint

_SECOND_NS = 10**9
_TICK_SECONDS = 0.01
"""Seconds between two time stamps of a kernel's coarse clock: 1 to 10 ms, by its CONFIG_HZ."""
_COARSE_TICK_SECONDS = 2.0
"""The same where stamps are whole seconds: FAT has two, ext4 with inodes of 128 bytes, NFSv3 and HFS+ have one."""

# FUSE is missing on purpose: a program makes its stamps, which may come from a server.
LOCAL = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus", "jfs", "msdos", "ntfs3", "overlay",
     "ramfs", "reiserfs", "tmpfs", "vfat", "xfs", "zfs"}
)  # fmt: skip
"""File systems whose time stamps this kernel makes."""
_KEEPS_INODES = LOCAL | {"beegfs", "ceph", "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2"}
"""File systems with stable inode numbers. Others (FUSE, SMB) may invent one at each stat or each mount."""
_MULTIGRAIN = frozenset({"btrfs", "ext4", "tmpfs", "xfs"})
"""File systems with FS_MGTIME (linux/include/linux/fs.h): the first change after a stat gets a stamp of its own."""
_MULTIGRAIN_SINCE = (6, 13)
_STEP_NS = 100_000_000
"""A smaller difference between the machine's two clocks is an adjustment rather than a step."""


@dataclass(frozen=True, slots=True)
class FileClock:
    """The properties of a file system's time stamps and inodes. By default they can't be relied on."""

    ours: bool = False
    """This kernel makes the stamps: they can be compared with our clock."""
    multigrain: bool = False
    """A file that changes after a stat always gets another ctime."""
    keeps_inodes: bool = False
    """A file keeps its inode number as long as it exists."""

    def tick(self, fingerprint: Fingerprint) -> float:
        """Return for how many seconds after its last change another change could get the same ctime."""
        if is_coarse(fingerprint):
            return _COARSE_TICK_SECONDS
        return 0.0 if self.multigrain else _TICK_SECONDS


def is_coarse(fingerprint: Fingerprint) -> bool:
    """Return whether the file system seems to store whole seconds only."""
    return fingerprint.ctime_ns % _SECOND_NS == 0


def of_mounts(holder: str, below: frozenset[str], release: str) -> FileClock:
    """Return the clock of a tree on the file system type ``holder`` with the types ``below`` mounted in it.

    ``release`` is the kernel release of uname(2).
    """
    kinds = {holder, *below}
    multigrain = kinds <= _MULTIGRAIN and _version(release) >= _MULTIGRAIN_SINCE
    return FileClock(ours=kinds <= LOCAL, multigrain=multigrain, keeps_inodes=kinds <= _KEEPS_INODES)


def _version(release: str) -> tuple[int, ...]:
    numbers = release.split("-", maxsplit=1)[0].split(".")[:2]
    return tuple(int(number) for number in numbers) if all(number.isdecimal() for number in numbers) else ()


class ClockSteps:
    """Steps of our clock: after it is set forward, earlier stamps look older than they are."""

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
        """Return how many seconds of the age of ``stamp_ns`` may be due to steps."""
        return self._forward if stamp_ns < self._last_ns else 0.0
