"""Reading, deleting and moving local files, on a real file system."""

import errno
import os
import socket
from pathlib import Path

import pytest

from crosshaul.errors import FileChangedError, FileGoneError, FileUnreadableError
from crosshaul.files.source import BufferPool, Root, shown
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


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_reads_exactly_what_is_asked_for(root: Root):
    """A read gives the bytes at the offset, and the digest is the whole file's."""
    with root.open_file(b"a/b/f") as file:
        assert file.read(3, 4) == b"3456"
        assert file.sha256() == "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
        file.unchanged()


def test_a_short_file_counts_as_changed(root: Root):
    """Reading past the end says that the file changed, rather than giving less."""
    with root.open_file(b"a/b/f") as file, pytest.raises(FileChangedError, match="shorter"):
        file.read(8, 4)


def test_a_change_after_the_open_is_noticed(root: Root, top: Path):
    """A write behind our back makes unchanged() and sha256() refuse."""
    with root.open_file(b"a/b/f") as file:
        with (top / "a/b/f").open("ab") as writer:
            writer.write(b"x")
        with pytest.raises(FileChangedError):
            file.unchanged()
        with pytest.raises(FileChangedError):
            file.sha256()


def test_a_file_replaced_between_stat_and_open_shows_in_the_fingerprint(root: Root, top: Path):
    """The fingerprint is that of the opened file, not of what had the name before."""
    before = fingerprint(top / "a/b/f")
    (top / "new").write_bytes(b"0123456789")
    (top / "new").rename(top / "a/b/f")
    with root.open_file(b"a/b/f") as file:
        assert file.fingerprint != before
        assert file.fingerprint == fingerprint(top / "a/b/f")


def test_what_is_gone_or_unreadable_says_so(root: Root, monkeypatch: pytest.MonkeyPatch):
    """A missing file is gone, and a path that leaves the root or an input/output error is refused by name."""
    with pytest.raises(FileGoneError):
        root.open_file(b"a/none")
    with pytest.raises(FileGoneError):
        root.open_file(b"none/f")
    for path in (b"../x", b"a/../../x", b"/etc/passwd", b"a//f", b""):
        with pytest.raises(FileUnreadableError):
            root.open_file(path)
    with root.open_file(b"a/b/f") as file:
        monkeypatch.setattr(os, "pread", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(FileUnreadableError, match="a/b/f: Input/output error"):
            file.read(0, 1)


def test_fifos_sockets_and_directories_are_no_files_and_block_nobody(root: Root, top: Path):
    """Opening a FIFO without a writer, a socket or a directory is refused at once."""
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "sock"))
        for path in (b"fifo", b"sock", b"a"):
            with pytest.raises(FileChangedError):
                root.open_file(path)


def test_a_symlink_in_place_of_a_file_or_a_directory_is_never_followed(root: Root, top: Path, tmp_path: Path):
    """Neither the last name nor a directory on the way may be a symlink."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "f").write_text("secret")
    (top / "link").symlink_to(secret / "f")
    (top / "a/b").rename(top / "a/was")
    (top / "a/b").symlink_to(secret)
    for path in (b"link", b"a/b/f"):
        for follow in (False, True):
            with pytest.raises(FileChangedError):
                root.open_file(path, follow_inside=follow)


def test_a_symlink_inside_is_followed_on_request(root: Root, top: Path):
    """follow_inside opens a file through file and directory links that stay below the root."""
    (top / "link").symlink_to("a/b/f")
    (top / "dir").symlink_to("a/b")
    for path in (b"link", b"dir/f"):
        with root.open_file(path, follow_inside=True) as file:
            assert file.read(0, 2) == b"01"
        with pytest.raises(FileChangedError):
            root.open_file(path)


def test_paths_longer_than_the_kernel_takes_and_of_any_bytes_can_be_read(tmp_path: Path):
    """A file below 300 directories of long names, named by bytes that are no UTF-8, opens; no descriptor leaks."""
    parts = [b"d" * 50] * 300 + [b"x\xff"]
    descriptors = [os.open(tmp_path, os.O_RDONLY)]
    for part in parts[:-1]:
        os.mkdir(part, dir_fd=descriptors[-1])
        descriptors.append(os.open(part, os.O_RDONLY, dir_fd=descriptors[-1]))
    file = os.open(parts[-1], os.O_WRONLY | os.O_CREAT, dir_fd=descriptors[-1])
    os.write(file, b"deep")
    for descriptor in (file, *descriptors):
        os.close(descriptor)
    before = open_descriptors()
    with Root.open(tmp_path) as root:
        with root.open_file(b"/".join(parts)) as source:
            assert source.read(0, 4) == b"deep"
        with pytest.raises(FileGoneError):
            root.open_file(b"/".join([*parts[:200], b"none", b"f"]))
    assert open_descriptors() == before


def test_sparse_and_empty_files_read_as_they_are(root: Root, top: Path):
    """A hole reads as zeros, and an empty file has the digest of nothing."""
    (top / "empty").touch()
    with (top / "sparse").open("wb") as file:
        file.truncate(5_000_000)
    with root.open_file(b"empty") as source:
        assert source.sha256().startswith("e3b0c442")
    with root.open_file(b"sparse") as source:
        assert source.read(4_000_000, 10) == bytes(10)
        assert source.fingerprint.size == 5_000_000


def test_a_root_that_is_no_directory_says_what_it_is(tmp_path: Path):
    """A missing root is gone, and a file in its place is something else."""
    with pytest.raises(FileGoneError):
        Root.open(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(FileChangedError):
        Root.open(tmp_path / "file")


def test_names_are_shown_on_one_line():
    """Bytes that are no UTF-8 and control characters are shown as escapes."""
    assert shown(b"a\xff\nb\x1b") == r"a\xff\nb\x1b"
    assert shown("ä b".encode()) == "ä b"


def test_memory_of_one_size_is_used_again():
    """Memory that was given back is taken for the same length, and let go when another is wanted or all is over."""
    buffers = BufferPool()
    first, second = buffers.take(4096), buffers.take(4096)
    first[:5] = b"known"
    buffers.give(second)
    buffers.give(first)
    assert bytes(buffers.take(4096)[:5]) == b"known"
    other = buffers.take(8192)
    buffers.give(other)
    buffers.give(first)
    buffers.clear()
    assert [bytes(buffers.take(length)[:5]) for length in (8192, 4096)] == [bytes(5), bytes(5)]


def test_a_part_is_read_into_what_it_is_given(tmp_path: Path):
    """The bytes of a part are in the caller's memory, and nowhere else."""
    (tmp_path / "f").write_bytes(bytes(range(256)) * 4096)
    into = memoryview(bytearray(300_000))
    with Root.open(tmp_path) as root, root.open_file(b"f") as source:
        assert source.read(256, 300_000, into) == into
    assert into == (bytes(range(256)) * 4096)[256:300_256]
