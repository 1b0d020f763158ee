"""The relation of a file system's time stamps to our clock, by its type and the kernel."""

import pytest

from crosshaul.files.file_clock import FileClock, of_mounts
from crosshaul.files.mounts import types_at
from crosshaul.model import Fingerprint

TABLE = rb"""22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
23 22 0:20 / /srv/nfs rw - nfs4 server:/export rw
24 22 0:21 / /srv/with\040blank rw - cifs //server/share rw
25 22 0:22 / /srv/tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("holder", "below", "release", "expected"),
    [
        ("ext4", (), "6.18.1-generic", FileClock(ours=True, multigrain=True, keeps_inodes=True)),
        ("xfs", ("tmpfs",), "7.0", FileClock(ours=True, multigrain=True, keeps_inodes=True)),
        ("ext4", (), "6.12.9", FileClock(ours=True, keeps_inodes=True)),
        ("overlay", (), "6.18.1", FileClock(ours=True, keeps_inodes=True)),
        ("vfat", (), "6.18.1", FileClock(ours=True, keeps_inodes=True)),
        ("ext4", (), "made-up", FileClock(ours=True, keeps_inodes=True)),
        *((kind, (), "6.18.1", FileClock()) for kind in ("cifs", "smb3", "fuse.sshfs", "9p", "virtiofs", "")),
        ("nfs4", (), "6.18.1", FileClock(keeps_inodes=True)),
        ("ext4", ("nfs",), "6.18.1", FileClock(keeps_inodes=True)),
        ("ext4", ("fuse.sshfs",), "6.18.1", FileClock()),
    ],
)
def test_only_what_this_kernel_stamps_is_compared_with_our_clock(
    holder: str, below: tuple[str, ...], release: str, expected: FileClock
):
    """Local types share our clock; servers, FUSE and unknown ones do not, nor does a tree that contains one."""
    assert of_mounts(holder, frozenset(below), release) == expected


def test_the_mount_table_tells_what_holds_a_directory_and_what_is_mounted_below_it():
    """The longest mount point above a directory counts, with octal escapes decoded, and all mounts below."""
    assert types_at(b"/srv/with blank/d", TABLE) == ("cifs", frozenset())
    assert types_at(b"/srv", TABLE) == ("ext4", frozenset({"nfs4", "cifs", "tmpfs"}))
    assert types_at(b"/srv/nfs", TABLE) == ("nfs4", frozenset())
    assert types_at(b"/srv/nfsx", TABLE) == ("ext4", frozenset())


def test_a_tick_is_as_long_as_the_stamps_are_coarse():
    """A tick is two seconds for whole seconds, else the kernel's, and zero if each change has its own stamp."""
    fine, coarse = Fingerprint(1, 1, 1_700_000_000_000_000_001, 1), Fingerprint(1, 1, 1_700_000_000_000_000_000, 1)
    assert FileClock(ours=True, multigrain=True).tick(fine) == 0.0
    assert FileClock(ours=True).tick(fine) == FileClock().tick(fine) == 0.01
    assert {clock.tick(coarse) for clock in (FileClock(), FileClock(ours=True, multigrain=True))} == {2.0}
