"""A watched directory, and the only way to the files in it: by directory descriptors, never through a symlink.

A user who can write into a watched directory must not be able to make the daemon read, delete or move anything outside
it. So each component of a path is opened from its parent's descriptor with O_NOFOLLOW, and the result is checked with
fstat before it is used. Paths of any length work, since only one name at a time goes to the kernel. All calls block: on
an event loop use a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileGoneError, FileUnreadableError
from crosshaul.files.os_errors import raise_source_error
from crosshaul.files.source_file import SourceFile

# O_PATH needs the right to pass through a directory only. Systems without O_PATH need the right to list it as well.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Root:
    """An open watched directory. All calls stay in this directory, even if another one takes its path."""

    def __init__(self, descriptor: int, path: Path) -> None:
        status = os.fstat(descriptor)
        self.path = path
        self.descriptor = descriptor
        self.device = status.st_dev
        self.inode = status.st_ino

    @classmethod
    def open(cls, path: Path) -> Root:
        """Open a directory; ``path`` itself may be a symlink, since the operator chose it.

        Raises FileGoneError, FileChangedError (not a directory) or FileUnreadableError.
        """
        try:
            return cls(os.open(path, _LIST), path)
        except FileNotFoundError as error:
            hint = "create it, mount it, or correct the route's `path`"
            raise FileGoneError(f"{path}: no such directory; {hint}") from error
        except NotADirectoryError as error:
            raise FileChangedError(f"{path}: not a directory; correct the route's `path`") from error
        except OSError as error:
            raise_source_error(error, os.fsencode(path))

    def is_empty(self) -> bool:
        """Return whether the directory has no entries."""
        with os.scandir(self.descriptor) as entries:
            return next(iter(entries), None) is None

    def close(self) -> None:
        """Close the directory; may be called twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield a descriptor of the directory that holds ``path``, and the last name. No symlink is followed.

        Raises FileGoneError, FileChangedError or FileUnreadableError.
        """
        *directories, name = _parts(path)
        descriptor = os.dup(self.descriptor)
        try:
            for part in directories:
                descriptor = _open_child(descriptor, part, path)
            yield descriptor, name
        finally:
            os.close(descriptor)

    def stat(self, path: bytes) -> os.stat_result:
        """Return the status of ``path``. No symlink is followed. Raises as ``parent``."""
        with self.parent(path) as (directory, name):
            return _stat(directory, name, path)

    def resolve(self, path: bytes) -> bytes:
        """Return the path below this root that the symlink at (or on) ``path`` leads to; empty for the root itself.

        Raises FileChangedError if it leads outside, FileGoneError if it leads nowhere. The target may change right
        after this call: open it with ``open_file``, which follows nothing.
        """
        try:
            top = os.path.realpath(os.fsencode(self.path), strict=True)
            target = os.path.realpath(top + b"/" + path, strict=True)
        except OSError as error:
            raise_source_error(error, path)
        prefix = top.rstrip(b"/") + b"/"
        if target != top and not target.startswith(prefix):
            raise FileChangedError(f"{printable(path)}: the symlink leads out of {self.path}")
        return target[len(prefix) :]

    def open_file(self, path: bytes, *, follow_inside: bool = False) -> SourceFile:
        """Open the regular file at ``path``; with ``follow_inside`` also through symlinks that stay below this root.

        Raises FileGoneError, FileChangedError (not a regular file; a symlink on the path) or FileUnreadableError.
        """
        try:
            return self._open(path)
        except FileChangedError:
            if not follow_inside:
                raise
            target = self.resolve(path)
            if target == path:
                raise
            return self._open(target)

    def _open(self, path: bytes) -> SourceFile:
        with self.parent(path) as (directory, name):
            return SourceFile.open_at(directory, name, path)


def _parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part for part in parts):
        raise FileUnreadableError(f"{printable(path)}: not a path below a watched directory")
    return parts


def _open_child(descriptor: int, name: bytes, path: bytes) -> int:
    """Open the directory ``name`` in ``descriptor``, and close ``descriptor``."""
    try:
        child = os.open(name, _PASS, dir_fd=descriptor)
    except OSError as error:
        raise_source_error(error, path)
    os.close(descriptor)
    return child


def _stat(directory: int, name: bytes, path: bytes) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        raise_source_error(error, path)
