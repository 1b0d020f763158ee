"""An open local file, read in the state in which it was opened. All calls block: on an event loop use a thread."""

from __future__ import annotations

import hashlib
import os
import stat
from types import TracebackType
from typing import Self

from crosshaul.display import printable
from crosshaul.errors import FileChangedError
from crosshaul.files.buffer_pool import allocate
from crosshaul.files.os_errors import raise_source_error
from crosshaul.model import Fingerprint

# O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAPPED_BYTES = 256 * 1024
"""Size from which a read gets a mapping of its own."""
_HASH_CHUNK_BYTES = 1 << 20


class SourceFile:
    """An open regular file in the state it had when it was opened (``fingerprint``)."""

    def __init__(self, descriptor: int, path: bytes, fingerprint: Fingerprint) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._descriptor = descriptor

    @classmethod
    def open_at(cls, directory: int, name: bytes, path: bytes) -> Self:
        """Open the regular file ``name`` in ``directory``. Errors name it ``path``. Raises as ``Root.open_file``."""
        try:
            descriptor = os.open(name, _READ, dir_fd=directory)
        except OSError as error:
            raise_source_error(error, path)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise FileChangedError(f"{printable(path)}: no longer a regular file")
        return cls(descriptor, path, Fingerprint.of(status))

    @property
    def descriptor(self) -> int:
        """The open file's descriptor."""
        return self._descriptor

    def read(self, offset: int, length: int, into: memoryview | None = None) -> bytes | memoryview:
        """Return exactly ``length`` bytes from ``offset``, in the first bytes of ``into`` if it is given.

        Raises FileChangedError if the file is shorter, FileUnreadableError on an input/output error.
        """
        if into is None and length < _MAPPED_BYTES:
            data = self._pread(offset, length)
            if len(data) == length:
                return data
        buffer = allocate(length) if into is None else into[:length]
        filled = 0
        while filled < length:
            filled += self._preadv(buffer[filled:], offset + filled)
        return buffer

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise_source_error(error, self.path)

    def _preadv(self, buffer: memoryview, offset: int) -> int:
        try:
            read = os.preadv(self._descriptor, [buffer], offset)
        except OSError as error:
            raise_source_error(error, self.path)
        if not read:
            raise FileChangedError(f"{printable(self.path)}: truncated while it was read")
        return read

    def unchanged(self) -> None:
        """Raise FileChangedError unless the file is still in the state in which it was opened."""
        if Fingerprint.of(os.fstat(self._descriptor)) != self.fingerprint:
            raise FileChangedError(f"{printable(self.path)}: changed while it was read")

    def sha256(self) -> str:
        """Return the SHA-256 of the whole file in lower-case hex. Raises as ``read`` and ``unchanged``."""
        digest = hashlib.sha256()
        for offset in range(0, self.fingerprint.size, _HASH_CHUNK_BYTES):
            digest.update(self.read(offset, min(_HASH_CHUNK_BYTES, self.fingerprint.size - offset)))
        self.unchanged()
        return digest.hexdigest()

    def detach(self) -> int:
        """Return the descriptor and leave it to the caller to close it."""
        descriptor, self._descriptor = self._descriptor, -1
        return descriptor

    def close(self) -> None:
        """Close the file; may be called twice."""
        descriptor = self.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
