"""Reading an open file, on a real file system."""

from pathlib import Path

import pytest

from crosshaul.errors import FileChangedError
from crosshaul.files.root import Root
from crosshaul.model import Fingerprint


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/f").write_bytes(b"0123456789")
    return tmp_path / "root"


@pytest.fixture
def root(top: Path):
    with Root.open(top) as opened:
        yield opened


def fingerprint(path: Path) -> Fingerprint:
    return Fingerprint.of(path.stat())


def test_a_read_returns_exactly_the_requested_bytes(root: Root):
    """Reading returns the bytes at the offset; sha256 is the digest of the whole file."""
    with root.open_file(b"a/b/f") as file:
        assert file.read(3, 4) == b"3456"
        assert file.sha256() == "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
        file.unchanged()


def test_a_truncated_file_counts_as_changed(root: Root):
    """A read past the end raises FileChangedError instead of returning fewer bytes."""
    with root.open_file(b"a/b/f") as file, pytest.raises(FileChangedError, match="truncated"):
        file.read(8, 4)


def test_a_change_after_the_open_is_noticed(root: Root, top: Path):
    """After a write by another program unchanged() and sha256() raise FileChangedError."""
    with root.open_file(b"a/b/f") as file:
        with (top / "a/b/f").open("ab") as writer:
            writer.write(b"x")
        with pytest.raises(FileChangedError):
            file.unchanged()
        with pytest.raises(FileChangedError):
            file.sha256()


def test_a_file_replaced_between_stat_and_open_shows_in_the_fingerprint(root: Root, top: Path):
    """The fingerprint is that of the opened file, not of the file that had its name before."""
    before = fingerprint(top / "a/b/f")
    (top / "new").write_bytes(b"0123456789")
    (top / "new").rename(top / "a/b/f")
    with root.open_file(b"a/b/f") as file:
        assert file.fingerprint != before
        assert file.fingerprint == fingerprint(top / "a/b/f")


def test_sparse_and_empty_files_can_be_read(root: Root, top: Path):
    """A hole reads as zeros, and an empty file has the digest of no bytes."""
    (top / "empty").touch()
    with (top / "sparse").open("wb") as file:
        file.truncate(5_000_000)
    with root.open_file(b"empty") as source:
        assert source.sha256().startswith("e3b0c442")
    with root.open_file(b"sparse") as source:
        assert source.read(4_000_000, 10) == bytes(10)
        assert source.fingerprint.size == 5_000_000


def test_a_part_is_read_into_the_given_buffer(tmp_path: Path):
    """A read with a buffer stores the bytes in that buffer and returns it."""
    (tmp_path / "f").write_bytes(bytes(range(256)) * 4096)
    into = memoryview(bytearray(300_000))
    with Root.open(tmp_path) as root, root.open_file(b"f") as source:
        assert source.read(256, 300_000, into) == into
    assert into == (bytes(range(256)) * 4096)[256:300_256]
