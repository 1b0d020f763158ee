"""A delivered file that is about to go, open and looked at: whether it is the one, with those bytes, and nobody writes.

Everything here blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from crosshaul.delivery.after_upload import unseen_writers
from crosshaul.delivery.after_upload.unseen_writers import Leases
from crosshaul.display import printable
from crosshaul.errors import ContentChangedError, FileChangedError, FileInUseError, WritersUnseenError
from crosshaul.files.open_writers import ReadLease
from crosshaul.files.os_errors import raise_source_error
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import StreamingChecksum
from crosshaul.model import Checksum, Fingerprint, SettleReason

_CHUNK_BYTES = 1 << 20
NOT_THAT_FILE = "it is not the file that was delivered any more, and is left alone"


@dataclass(frozen=True, slots=True)
class ExpectedSource:
    """The file as it was delivered."""

    path: bytes
    fingerprint: Fingerprint
    checksum: Checksum | None
    """Of all its bytes; None where the store gave none, and then the bytes are not read again."""
    stamp: str
    """Tells this delivery from others of the same name; appended to a name that is taken."""


@dataclass(frozen=True, slots=True)
class RemovalGuard:
    """What is asked while a file is looked at."""

    is_open_for_writing: Callable[[int], bool]
    """Of an open file on which no lease can be had: asked only of one that may go unseen."""
    interrupted: Callable[[], bool]
    """Whether to leave off reading: the daemon ends."""
    leases: Leases
    """What they tell in this tree."""
    settled_by: SettleReason | None = None
    unseen_may_go: bool = False
    """Whether the file goes although it can't be seen who writes to it."""


class Interrupted(Exception):
    """The daemon ends; nothing was touched."""


Identity = tuple[int, int, int, int]
"""Device, inode, size and mtime: what a rename leaves as it is."""


class OpenSource:
    """The delivered file, open, with a lease on it where one can be had."""

    def __init__(self, source: SourceFile, lease: ReadLease | None) -> None:
        self._source = source
        self._lease = lease
        self._identity = _identity_of(os.fstat(source.descriptor))

    @property
    def wanted(self) -> bool:
        """Whether somebody wants to write to it now."""
        return self._lease is not None and self._lease.broken

    def is_at(self, directory: int, name: bytes) -> bool:
        """Whether the name is this file's, its bytes are as old as ever, and nobody has come to write to it."""
        now = _identity_of(os.fstat(self._source.descriptor))
        return identity(directory, name) == self._identity == now and not self.wanted


@contextmanager
def checked(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> Iterator[OpenSource]:
    """Open the file, and see that it is the delivered one. Raises SourceError, Interrupted.

    Its ctime may be another where its bytes prove it: it changes with the number of the file's names, so that of many
    hard links the first one that goes would keep the others.
    """
    _require(Fingerprint.of(_stat(directory, name, expected.path)), expected)
    with SourceFile.open_at(directory, name, expected.path) as source, _leased(source, guard) as lease:
        _require(source.fingerprint, expected)
        held = OpenSource(source, lease)
        try:
            _compare_bytes(source, held, expected, guard)
        except ContentChangedError:
            if source.fingerprint == expected.fingerprint:
                raise
            raise _not_that_file(expected) from None  # a scan sees by its ctime that it changed
        source.unchanged()
        yield held


def _require(found: Fingerprint, expected: ExpectedSource) -> None:
    """Raise FileChangedError if this can't be the delivered file."""
    same = found.is_same_but_ctime(expected.fingerprint)
    if found != expected.fingerprint and not (same and expected.checksum is not None):
        raise _not_that_file(expected)


def _not_that_file(expected: ExpectedSource) -> FileChangedError:
    return FileChangedError(f"{printable(expected.path)}: {NOT_THAT_FILE}")


def is_delivered(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> bool:
    """Whether a file that was renamed, which changes its ctime, is the delivered one still, and nobody writes to it."""
    known, there = expected.fingerprint, identity(directory, name)
    if there is None or there[1:] != (known.inode, known.size, known.mtime_ns):
        return False
    try:
        with SourceFile.open_at(directory, name, expected.path) as source, _leased(source, guard) as lease:
            _compare_bytes(source, OpenSource(source, lease), expected, guard)
    except (FileInUseError, WritersUnseenError, FileChangedError):
        return False
    return True


@contextmanager
def _leased(source: SourceFile, guard: RemovalGuard) -> Iterator[ReadLease | None]:
    try:
        lease = ReadLease.take(source.descriptor)
    except BlockingIOError as error:
        if guard.leases.refused_tells:
            raise _in_use(source.path) from error
        lease = None
    try:
        if lease is None or not guard.leases.granted_tells:
            _rule_out_writers(source, guard)
        yield lease
    finally:
        if lease is not None:
            lease.release()


def _rule_out_writers(source: SourceFile, guard: RemovalGuard) -> None:
    """Raise unless the file may go although no lease tells of its writers."""
    if not guard.unseen_may_go:
        why = unseen_writers.reason(source.descriptor, guard.settled_by)
        raise WritersUnseenError(f"{printable(source.path)}: {why}")
    if guard.is_open_for_writing(source.descriptor):
        raise _in_use(source.path)


def _in_use(path: bytes) -> FileInUseError:
    return FileInUseError(f"{printable(path)}: a program has it open for writing; it stays until that has closed it")


def _compare_bytes(source: SourceFile, held: OpenSource, expected: ExpectedSource, guard: RemovalGuard) -> None:
    """Hold the bytes against the receipt's checksum: a write through a mapping may leave size and times as they were.

    Whoever wants to write meanwhile has to wait for the lease no longer than for one chunk.
    """
    if expected.checksum is None:
        return
    running = StreamingChecksum((expected.checksum.kind,))
    for chunk in _chunks(source, held, guard):
        running.update(chunk)
    if running.checksums() != (expected.checksum,):
        reason = "its bytes are not those that were delivered, although size and times are; it is sent again"
        raise ContentChangedError(f"{printable(source.path)}: {reason}")


def _chunks(source: SourceFile, held: OpenSource, guard: RemovalGuard) -> Iterator[bytes | memoryview]:
    for offset in range(0, source.fingerprint.size, _CHUNK_BYTES):
        if guard.interrupted():
            raise Interrupted
        if held.wanted:
            raise _in_use(source.path)
        yield source.read(offset, min(_CHUNK_BYTES, source.fingerprint.size - offset))


def _stat(directory: int, name: bytes, path: bytes) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        raise_source_error(error, path)


def identity(directory: int, name: bytes) -> Identity | None:
    """What is at the name now; None if nothing can be seen there."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    return _identity_of(found)


def _identity_of(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
