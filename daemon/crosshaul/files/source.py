"""The only way to a local file's bytes: by directory descriptors, never through a symlink, and only in a known state.

Whoever can write into a watched directory must not get us to read, delete or move anything outside it. So each
component of a path is opened from its parent's descriptor with O_NOFOLLOW, and what was opened is looked at (fstat)
before it is used. Paths of any length work, since only one name at a time goes to the kernel. Everything here blocks:
callers on an event loop use a thread.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from crosshaul.display import printable
from crosshaul.errors import (
    FileChangedError,
    FileGoneError,
    FileSystemError,
    FileUnreadableError,
    LocalResourcesError,
)
from crosshaul.model import Fingerprint

# O_PATH needs no right to list a directory, only to pass through it; systems without it have to ask for more.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAPPED = 256 * 1024
"""Bytes from which a buffer is a mapping."""
_HUGE = 2 << 20
"""Bytes of a huge page: a part comes in a few faults instead of thousands, which took longer than reading it."""
_HASH_CHUNK = 1 << 20
ASIDE = b".crosshaul-removing-"
"""What the names begin with that a file has between being looked at and being deleted."""


_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NO_FILE_SYSTEM = frozenset(
    {errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
     errno.ENETDOWN, errno.ENETUNREACH, errno.ENODEV, errno.ESHUTDOWN}
)  # fmt: skip


def shown(path: bytes) -> str:
    """``path`` as one printable line: bytes that are no UTF-8 and control characters as escapes."""
    return printable(path)


def refuse(error: OSError, path: bytes) -> NoReturn:
    """Raise what the kernel says about ``path`` as a SourceError."""
    if error.errno == errno.ENOENT:
        raise FileGoneError(f"{shown(path)}: it is not there any more") from error
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        raise FileChangedError(f"{shown(path)}: it, or a directory on the way to it, is now something else") from error
    reason = error.strerror or type(error).__name__
    if error.errno in _OUT_OF_RESOURCES:
        raise LocalResourcesError(f"{shown(path)}: {reason}; raise the limits of open files and memory") from error
    if error.errno in _NO_FILE_SYSTEM:
        raise FileSystemError(f"{shown(path)}: {reason}; check the mount and its server") from error
    raise FileUnreadableError(f"{shown(path)}: {reason}; check owner, mode and disk") from error


def _parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part for part in parts):
        raise FileUnreadableError(f"{shown(path)}: this is not a path below a watched directory")
    return parts


def _buffer(length: int) -> memoryview:
    """Memory of its own mapping, which goes back to the kernel with its last view.

    From the heap, buffers of this size stay with the process: each thread's arena keeps what its largest ones took.
    """
    mapping = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if length >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(mapping)


class BufferPool:
    """Memory for parts, used again: to clear new memory first takes the system as long as to read into it.

    Whoever takes has a budget for what is in use. What is spare is of the greatest length that was wanted so far: the
    last parts of files, which are shorter, have memory of their own.
    """

    def __init__(self) -> None:
        self._length = 0
        self._spare: list[memoryview] = []

    def take(self, length: int) -> memoryview:
        """Memory of so many bytes, with anything in it."""
        if length > self._length:
            self.clear()
            self._length = length
        return self._spare.pop() if length == self._length and self._spare else _buffer(length)

    def give(self, buffer: memoryview) -> None:
        """Take back what nobody reads from or into any more."""
        if len(buffer) == self._length:
            self._spare.append(buffer)

    def clear(self) -> None:
        """Let the system have what is spare."""
        self._length = 0
        self._spare.clear()


class SourceFile:
    """An open regular file in the state it had when it was opened (``fingerprint``)."""

    def __init__(self, descriptor: int, path: bytes, fingerprint: Fingerprint) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._descriptor = descriptor

    @classmethod
    def at(cls, directory: int, name: bytes, path: bytes) -> Self:
        """Open the regular file ``name`` in ``directory``, called ``path`` in errors; raises as ``Root.open_file``."""
        try:
            descriptor = os.open(name, _READ, dir_fd=directory)
        except OSError as error:
            refuse(error, path)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise FileChangedError(f"{shown(path)}: it is not a regular file any more")
        return cls(descriptor, path, Fingerprint.of(found))

    @property
    def descriptor(self) -> int:
        """The open file's descriptor, to ask the kernel about it."""
        return self._descriptor

    def read(self, offset: int, length: int, into: memoryview | None = None) -> bytes | memoryview:
        """Exactly ``length`` bytes from ``offset``; those of ``into``, if it is given.

        Raises FileChangedError if the file ends earlier, FileUnreadableError on an input/output error.
        """
        if into is None and length < _MAPPED:
            data = self._pread(offset, length)
            if len(data) == length:
                return data
        buffer = _buffer(length) if into is None else into[:length]
        filled = 0
        while filled < length:
            filled += self._preadv(buffer[filled:], offset + filled)
        return buffer

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            refuse(error, self.path)

    def _preadv(self, buffer: memoryview, offset: int) -> int:
        try:
            read = os.preadv(self._descriptor, [buffer], offset)
        except OSError as error:
            refuse(error, self.path)
        if not read:
            raise FileChangedError(f"{shown(self.path)}: it became shorter while it was read")
        return read

    def unchanged(self) -> None:
        """Raise FileChangedError unless the file still is in the state it was opened in."""
        if Fingerprint.of(os.fstat(self._descriptor)) != self.fingerprint:
            raise FileChangedError(f"{shown(self.path)}: it changed while it was read")

    def sha256(self) -> str:
        """The SHA-256 of all bytes, in lower-case hex; raises as ``read`` and ``unchanged`` do."""
        digest = hashlib.sha256()
        for offset in range(0, self.fingerprint.size, _HASH_CHUNK):
            digest.update(self.read(offset, min(_HASH_CHUNK, self.fingerprint.size - offset)))
        self.unchanged()
        return digest.hexdigest()

    def detach(self) -> int:
        """Give the descriptor away: whoever takes it closes it."""
        descriptor, self._descriptor = self._descriptor, -1
        return descriptor

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        descriptor = self.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Root:
    """A watched directory, held by its descriptor: what is done through it stays in this very directory."""

    def __init__(self, descriptor: int, path: Path) -> None:
        found = os.fstat(descriptor)
        self.path = path
        self.descriptor = descriptor
        self.device = found.st_dev
        self.inode = found.st_ino

    @classmethod
    def open(cls, path: Path) -> Root:
        """Open a directory (through a symlink if the operator named one).

        Raises FileGoneError, FileChangedError (no directory) or FileUnreadableError.
        """
        try:
            return cls(os.open(path, _LIST), path)
        except FileNotFoundError as error:
            cure = "make it, mount it, or correct the route's `path`"
            raise FileGoneError(f"{path}: there is no such directory; {cure}") from error
        except NotADirectoryError as error:
            raise FileChangedError(f"{path}: it is not a directory; correct the route's `path`") from error
        except OSError as error:
            refuse(error, os.fsencode(path))

    def is_empty(self) -> bool:
        """Whether nothing at all is in it."""
        with os.scandir(self.descriptor) as entries:
            return next(iter(entries), None) is None

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Descriptor of the directory that holds ``path``, and the last name; no symlink is followed.

        Raises FileGoneError, FileChangedError or FileUnreadableError.
        """
        *directories, name = _parts(path)
        descriptor = os.dup(self.descriptor)
        try:
            for part in directories:
                descriptor = _step(descriptor, part, path)
            yield descriptor, name
        finally:
            os.close(descriptor)

    def stat(self, path: bytes) -> os.stat_result:
        """What is at ``path`` now, symlinks not followed; raises as ``parent`` does."""
        with self.parent(path) as (directory, name):
            return _stat(directory, name, path)

    def resolve(self, path: bytes) -> bytes:
        """The path below this root that the symlink (or the path through one) at ``path`` leads to; empty = the root.

        Raises FileChangedError if it leads outside, FileGoneError if nowhere. The answer is only as good as the moment:
        open it with ``open_file``, which follows nothing.
        """
        try:
            top = os.path.realpath(os.fsencode(self.path), strict=True)
            target = os.path.realpath(top + b"/" + path, strict=True)
        except OSError as error:
            refuse(error, path)
        prefix = top.rstrip(b"/") + b"/"
        if target != top and not target.startswith(prefix):
            raise FileChangedError(f"{shown(path)}: it is a symlink that leads out of {self.path}")
        return target[len(prefix) :]

    def open_file(self, path: bytes, *, follow_inside: bool = False) -> SourceFile:
        """Open the regular file at ``path``; with ``follow_inside``, through symlinks that stay below this root.

        Raises FileGoneError, FileChangedError (no regular file; a symlink on the way) or FileUnreadableError.
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
            return SourceFile.at(directory, name, path)


def _step(descriptor: int, part: bytes, path: bytes) -> int:
    """Descriptor of the directory ``part`` in ``descriptor``, which is closed once the step is made."""
    try:
        below = os.open(part, _PASS, dir_fd=descriptor)
    except OSError as error:
        refuse(error, path)
    os.close(descriptor)
    return below


def _stat(directory: int, name: bytes, path: bytes) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        refuse(error, path)
