"""Verify the source of a delivered file before it is deleted or moved: same file, same bytes, no writer. Blocking."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from crosshaul.delivery.after_upload import writer_visibility
from crosshaul.delivery.after_upload.writer_visibility import Leases
from crosshaul.display import printable
from crosshaul.errors import ContentChangedError, FileChangedError, FileInUseError, WritersUnseenError
from crosshaul.files.open_writers import ReadLease
from crosshaul.files.os_errors import raise_source_error
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import StreamingChecksum
from crosshaul.model import Checksum, Fingerprint, SettleReason

_CHUNK_BYTES = 1 << 20
NOT_THAT_FILE = "it is no longer the file that was delivered, and is kept"


@dataclass(frozen=True, slots=True)
class ExpectedSource:
    """The file as it was delivered."""

    path: bytes
    fingerprint: Fingerprint
    checksum: Checksum | None
    """The checksum of all bytes; None if the store returned none, and then the bytes are not compared."""
    stamp: str
    """Time of the delivery; appended to the file's name if that is taken."""


@dataclass(frozen=True, slots=True)
class RemovalGuard:
    """The conditions for a removal."""

    is_open_for_writing: Callable[[int], bool]
    """Returns whether a program has an open file open for writing. Called only if leases can't tell and
    ``unseen_may_go``."""
    interrupted: Callable[[], bool]
    """Returns whether to stop reading because the daemon ends."""
    leases: Leases
    """The meaning of leases in this tree."""
    settled_by: SettleReason | None = None
    unseen_may_go: bool = False
    """True if the file may be removed although its writers can't be seen."""


class Interrupted(Exception):
    """The daemon ends. Nothing was changed."""


Identity = tuple[int, int, int, int]
"""Device, inode, size and mtime: what a rename does not change."""


class OpenSource:
    """The delivered file, open, with a lease on it if the kernel grants one."""

    def __init__(self, source: SourceFile, lease: ReadLease | None) -> None:
        self._source = source
        self._lease = lease
        self._identity = _identity_of(os.fstat(source.descriptor))

    @property
    def has_waiting_writer(self) -> bool:
        """True if a program waits to open the file for writing."""
        return self._lease is not None and self._lease.broken

    def is_at(self, directory: int, name: bytes) -> bool:
        """Return whether ``name`` is this file, unmodified, and no program waits to write to it."""
        now = _identity_of(os.fstat(self._source.descriptor))
        return identity(directory, name) == self._identity == now and not self.has_waiting_writer


@contextmanager
def open_verified(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> Iterator[OpenSource]:
    """Open the file and verify that it is the delivered one. Raises SourceError, Interrupted.

    Its ctime may differ if its bytes are proven: removing a hard link changes the ctime of the file's other links.
    """
    _require(Fingerprint.of(_stat(directory, name, expected.path)), expected)
    with SourceFile.open_at(directory, name, expected.path) as source, _leased(source, guard) as lease:
        _require(source.fingerprint, expected)
        opened = OpenSource(source, lease)
        try:
            _compare_bytes(source, opened, expected, guard)
        except ContentChangedError:
            if source.fingerprint == expected.fingerprint:
                raise
            raise _not_that_file(expected) from None  # the next scan sees the new ctime and queues it
        source.unchanged()
        yield opened


def _require(fingerprint: Fingerprint, expected: ExpectedSource) -> None:
    """Raise FileChangedError if this can't be the delivered file."""
    same = fingerprint.is_same_but_ctime(expected.fingerprint)
    if fingerprint != expected.fingerprint and not (same and expected.checksum is not None):
        raise _not_that_file(expected)


def _not_that_file(expected: ExpectedSource) -> FileChangedError:
    return FileChangedError(f"{printable(expected.path)}: {NOT_THAT_FILE}")


def is_delivered(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> bool:
    """Return whether a renamed file, whose ctime has changed, is still the delivered one and has no writer."""
    delivered, current = expected.fingerprint, identity(directory, name)
    if current is None or current[1:] != (delivered.inode, delivered.size, delivered.mtime_ns):
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
    """Raise WritersUnseenError or FileInUseError unless the file may be removed without a lease that tells."""
    if not guard.unseen_may_go:
        why = writer_visibility.why_kept(source.descriptor, guard.settled_by)
        raise WritersUnseenError(f"{printable(source.path)}: {why}")
    if guard.is_open_for_writing(source.descriptor):
        raise _in_use(source.path)


def _in_use(path: bytes) -> FileInUseError:
    return FileInUseError(
        f"{printable(path)}: a program has it open for writing; it is kept until the program closes it"
    )


def _compare_bytes(source: SourceFile, opened: OpenSource, expected: ExpectedSource, guard: RemovalGuard) -> None:
    """Compare the bytes with the receipt's checksum: a write through a memory map may not change size and times.

    A program that wants to write meanwhile waits for the lease for at most one chunk.
    """
    if expected.checksum is None:
        return
    running = StreamingChecksum((expected.checksum.kind,))
    for chunk in _chunks(source, opened, guard):
        running.update(chunk)
    if running.checksums() != (expected.checksum,):
        reason = "its bytes differ from the delivered ones, although size and times are the same; it is sent again"
        raise ContentChangedError(f"{printable(source.path)}: {reason}")


def _chunks(source: SourceFile, opened: OpenSource, guard: RemovalGuard) -> Iterator[bytes | memoryview]:
    for offset in range(0, source.fingerprint.size, _CHUNK_BYTES):
        if guard.interrupted():
            raise Interrupted
        if opened.has_waiting_writer:
            raise _in_use(source.path)
        yield source.read(offset, min(_CHUNK_BYTES, source.fingerprint.size - offset))


def _stat(directory: int, name: bytes, path: bytes) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        raise_source_error(error, path)


def identity(directory: int, name: bytes) -> Identity | None:
    """Return the identity of the file at ``name``; None if there is none or it can't be read."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    return _identity_of(status)


def _identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
