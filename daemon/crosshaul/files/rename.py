"""Rename a file without replacing another: renameat2(RENAME_NOREPLACE), or the nearest that a file system offers."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_NOREPLACE = 1
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def rename_noreplace(source: int, name: bytes, target: int, taken: bytes) -> None:
    """Rename ``name`` in the directory ``source`` to ``taken`` in ``target``; raises FileExistsError, OSError.

    Where the kernel or the file system does not know RENAME_NOREPLACE, link(2) refuses a name that is taken and
    unlink(2) follows; a crash in between leaves both names.
    """
    if rename_at_once(source, name, target, taken):
        return
    try:
        os.link(name, taken, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _look_and_rename(source, name, target, taken)
    else:
        os.unlink(name, dir_fd=source)


def rename_at_once(source: int, name: bytes, target: int, taken: bytes) -> bool:
    """Rename by one call; False, with nothing done, where that is not supported. Raises FileExistsError, OSError."""
    call = _renameat2()
    if call is None:
        return False
    number = call(source, name, target, taken, _NOREPLACE)
    if number in _UNSUPPORTED:
        return False
    if number:
        raise OSError(number, os.strerror(number), name)
    return True


def _look_and_rename(source: int, name: bytes, target: int, taken: bytes) -> None:
    """For file systems without hard links: look first, and live with the moment in between."""
    try:
        os.stat(taken, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, taken, src_dir_fd=source, dst_dir_fd=target)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), taken)


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The C library's renameat2 as a function that gives 0 or the error's number; None where it has none."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - only who deletes or moves needs it

    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def call(source: int, name: bytes, target: int, taken: bytes, flags: int) -> int:
        return ctypes.get_errno() if function(source, name, target, taken, flags) else 0

    return call
