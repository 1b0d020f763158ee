"""Cached files are read without waiting; all other cases are left to a thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crosshaul.files import page_cache_read
from crosshaul.model import Fingerprint

pytestmark = pytest.mark.skipif(not page_cache_read.available(), reason="this system has no openat2, or forbids it")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "root"
    (top / "d").mkdir(parents=True)
    (top / "d/f").write_bytes(b"bytes")
    return top


def state(path: Path) -> Fingerprint:
    return Fingerprint.of(path.stat())


def test_a_file_just_written_is_read_whole(root: Path):
    """The bytes of a file in its recorded state are returned, also of an empty one."""
    (root / "empty").touch()
    assert page_cache_read.read(root, b"d/f", state(root / "d/f")) == b"bytes"
    assert page_cache_read.read(root, b"empty", state(root / "empty")) == b""


def test_another_state_of_the_file_is_not_given(root: Path):
    """For a file that was written, replaced or deleted since, nothing is returned."""
    before = state(root / "d/f")
    (root / "d/f").write_bytes(b"other")
    os.utime(root / "d/f", ns=(0, before.mtime_ns))
    assert page_cache_read.read(root, b"d/f", before) is None
    (root / "d/f").unlink()
    assert page_cache_read.read(root, b"d/f", before) is None
    assert page_cache_read.read(root / "nowhere", b"d/f", before) is None


def test_a_change_while_it_is_read_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch):
    """If the file changes during the read nothing is returned."""
    before, preadv = state(root / "d/f"), os.preadv

    def changing(*arguments):
        read = preadv(*arguments)
        (root / "d/f").write_bytes(b"later")
        return read

    monkeypatch.setattr(os, "preadv", changing)
    assert page_cache_read.read(root, b"d/f", before) is None


def test_no_symlink_is_followed_and_nothing_outside_is_read(root: Path):
    """For symlinks on the path, and paths that lead outside, nothing is returned."""
    (root.parent / "secret").write_bytes(b"bytes")
    (root / "link").symlink_to("d/f")
    (root / "way").symlink_to("d")
    secret = state(root.parent / "secret")
    assert page_cache_read.read(root, b"link", state(root / "d/f")) is None
    assert page_cache_read.read(root, b"way/f", state(root / "d/f")) is None
    assert page_cache_read.read(root, b"../secret", secret) is None
    assert page_cache_read.read(root, b"d/../../secret", secret) is None


def test_what_is_no_file_gives_nothing_and_hangs_nobody(root: Path):
    """For a FIFO, a directory and a name with a NUL nothing is returned, at once."""
    os.mkfifo(root / "fifo")
    assert page_cache_read.read(root, b"fifo", state(root / "fifo")) is None
    assert page_cache_read.read(root, b"d", state(root / "d")) is None
    assert page_cache_read.read(root, b"d/f\0x", state(root / "d/f")) is None


def test_what_would_have_to_be_waited_for_is_left_alone(root: Path, monkeypatch: pytest.MonkeyPatch):
    """If the kernel would have to wait nothing is returned, and no descriptor stays open."""

    def would_wait(*_arguments):
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", would_wait)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert page_cache_read.read(root, b"d/f", state(root / "d/f")) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


TABLE = rb"""22 1 253:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv/far rw - fuse.sshfs host: rw
31 30 253:1 / /srv/far/near rw - xfs /dev/vdb rw
32 22 0:41 / /mnt/a\040b rw - nfs4 host:/ rw
33 22 253:2 / /mnt/twice rw - ext4 /dev/vdc rw
34 22 0:42 / /mnt/twice rw shared:1 - cifs //host/share rw
"""


@pytest.mark.parametrize(
    ("root", "is_local"),
    [
        (b"/srv/exports", True),
        (b"/srv/far", False),
        (b"/srv/far/below", False),
        (b"/srv/farther", True),
        (b"/srv/far/near/x", True),
        (b"/srv", False),
        (b"/mnt/a b/x", False),
        (b"/mnt/twice", False),
        (b"/", False),
    ],
)
def test_only_local_file_systems_are_read_so(root: bytes, is_local: bool):
    """The nearest mount above a root decides, the later one of two at one place; none may be below it."""
    assert page_cache_read.is_on_local_file_system(root, TABLE) is is_local


def test_nothing_is_read_where_a_server_may_be_asked(root: Path, monkeypatch: pytest.MonkeyPatch):
    """For a root that is not on a local file system nothing is returned."""
    monkeypatch.setattr(page_cache_read, "is_on_local_file_system", lambda _root, _table: False)
    monkeypatch.setattr(page_cache_read, "_local", {})
    assert page_cache_read.read(root, b"d/f", state(root / "d/f")) is None


def evicted(path: Path) -> Path:
    """Drop the bytes of a file from the page cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def test_what_is_fetched_can_be_read(root: Path):
    """A file that is not cached is returned after it was fetched, whatever else was requested."""
    path = evicted(root / "d/f")
    os.mkfifo(root / "fifo")
    (root / "way").symlink_to("d")
    if page_cache_read.read(root, b"d/f", state(path)) is not None:
        pytest.skip("this file system has everything in memory")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    evicted(path)  # the kernel may have read it ahead
    page_cache_read.fetch([(root, name) for name in (b"fifo", b"nowhere", b"d", b"d/f\0x", b"../root/d/f", b"way/f")])
    assert page_cache_read.read(root, b"d/f", state(path)) is None, "none of these leads to it"
    evicted(path)
    page_cache_read.fetch([(root, b"nowhere"), (root, b"d/f")])
    assert page_cache_read.read(root, b"d/f", state(path)) == b"bytes"
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_root_behind_a_symlink_is_served_once_a_thread_has_looked(root: Path):
    """The root's own symlink is resolved when something is fetched, and again when its target changes."""
    (root.parent / "link").symlink_to(root)
    through = root.parent / "link"
    assert page_cache_read.read(through, b"d/f", state(root / "d/f")) is None
    page_cache_read.fetch([(through, b"d/f")])
    assert page_cache_read.read(through, b"d/f", state(root / "d/f")) == b"bytes"
    (root.parent / "other/d").mkdir(parents=True)
    (root.parent / "other/d/f").write_bytes(b"others")
    through.unlink()
    through.symlink_to(root.parent / "other")
    assert page_cache_read.read(through, b"d/f", state(through / "d/f")) is None
    page_cache_read.fetch([(through, b"d/f")])
    assert page_cache_read.read(through, b"d/f", state(through / "d/f")) == b"others"
