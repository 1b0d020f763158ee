"""Map the kernel's errors for a path to the project's errors."""

from __future__ import annotations

import errno
from typing import NoReturn

from crosshaul.display import printable
from crosshaul.errors import (
    FileChangedError,
    FileGoneError,
    FileSystemError,
    FileUnreadableError,
    LocalResourcesError,
)

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NO_FILE_SYSTEM = frozenset(
    {errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
     errno.ENETDOWN, errno.ENETUNREACH, errno.ENODEV, errno.ESHUTDOWN}
)  # fmt: skip


def raise_source_error(error: OSError, path: bytes) -> NoReturn:
    """Raise the SourceError that ``error`` means for the file at ``path``."""
    name = printable(path)
    if error.errno == errno.ENOENT:
        raise FileGoneError(f"{name}: no longer exists") from error
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        raise FileChangedError(f"{name}: the file or a directory above it was replaced by something else") from error
    reason = error.strerror or type(error).__name__
    if error.errno in _OUT_OF_RESOURCES:
        raise LocalResourcesError(f"{name}: {reason}; raise the limits of open files and memory") from error
    if error.errno in _NO_FILE_SYSTEM:
        raise FileSystemError(f"{name}: {reason}; check the mount and its server") from error
    raise FileUnreadableError(f"{name}: {reason}; check owner, mode and disk") from error
