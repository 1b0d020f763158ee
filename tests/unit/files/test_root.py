"""Opening files below a watched directory, on a real file system."""

import errno
import os
import socket
from pathlib import Path

import pytest

from crosshaul.errors import FileChangedError, FileGoneError, FileUnreadableError
from crosshaul.files.root import Root


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/f").write_bytes(b"0123456789")
    return tmp_path / "root"


@pytest.fixture
def root(top: Path):
    with Root.open(top) as opened:
        yield opened


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_missing_and_unreadable_files_have_their_own_errors(root: Root, monkeypatch: pytest.MonkeyPatch):
    """A missing file is gone; a path out of the root and an input/output error are refused with the path."""
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


def test_fifos_sockets_and_directories_are_refused_without_blocking(root: Root, top: Path):
    """Opening a FIFO without a writer, a socket or a directory fails at once."""
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "sock"))
        for path in (b"fifo", b"sock", b"a"):
            with pytest.raises(FileChangedError):
                root.open_file(path)


def test_a_symlink_in_place_of_a_file_or_a_directory_is_never_followed(root: Root, top: Path, tmp_path: Path):
    """Neither the last name of a path nor a directory in it may be a symlink out of the root."""
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
    """With follow_inside a path opens a file through file and directory links that stay below the root."""
    (top / "link").symlink_to("a/b/f")
    (top / "dir").symlink_to("a/b")
    for path in (b"link", b"dir/f"):
        with root.open_file(path, follow_inside=True) as file:
            assert file.read(0, 2) == b"01"
        with pytest.raises(FileChangedError):
            root.open_file(path)


def test_paths_longer_than_the_kernel_takes_and_of_any_bytes_can_be_read(tmp_path: Path):
    """A file below 300 directories, with a name that is not UTF-8, can be opened; no descriptor leaks."""
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


def test_a_missing_root_and_a_file_in_its_place_are_distinguished(tmp_path: Path):
    """A missing root raises FileGoneError, and a file in its place FileChangedError."""
    with pytest.raises(FileGoneError):
        Root.open(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(FileChangedError):
        Root.open(tmp_path / "file")
