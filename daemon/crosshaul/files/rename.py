"""Rename a file without replacing another: by renameat2(RENAME_NOREPLACE), or the closest supported call."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_NOREPLACE = 1
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def rename_noreplace(source: int, name: bytes, target: int, new_name: bytes) -> None:
    """Rename ``name`` in the directory ``source`` to ``new_name`` in ``target``; raises FileExistsError, OSError.

    If the kernel or the file system does not support RENAME_NOREPLACE, link(2) refuses an existing name and unlink(2)
    follows. A crash in between leaves both names.
    """
    if rename_at_once(source, name, target, new_name):
        return
    try:
        os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _check_and_rename(source, name, target, new_name)
    else:
        os.unlink(name, dir_fd=source)


def rename_at_once(source: int, name: bytes, target: int, new_name: bytes) -> bool:
    """Rename by one call; return False, with nothing done, if unsupported. Raises FileExistsError, OSError."""
    call = _renameat2()
    if call is None:
        return False
    number = call(source, name, target, new_name, _NOREPLACE)
    if number in _UNSUPPORTED:
        return False
    if number:
        raise OSError(number, os.strerror(number), name)
    return True


def _check_and_rename(source: int, name: bytes, target: int, new_name: bytes) -> None:
    """Check for the name, then rename: for file systems without hard links, where this is not atomic."""
    try:
        os.stat(new_name, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return the C library's renameat2 as a function that returns 0 or an errno; None if it has none."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - only deleting and moving need it

    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def call(source: int, name: bytes, target: int, new_name: bytes, flags: int) -> int:
        return ctypes.get_errno() if function(source, name, target, new_name, flags) else 0

    return call
