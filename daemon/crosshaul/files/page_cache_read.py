"""Read small files from the kernel's page cache on the event loop: without a thread, and without waiting.

A thread fetches files that are not in the cache, many at a time; then they are read the same way.

Passing a read to a thread costs many times the read itself, and the threads contend with the loop for the interpreter.
Linux can guarantee not to wait: openat2 with RESOLVE_CACHED opens only what its caches hold (since 5.12), and preadv2
with RWF_NOWAIT reads only from its page cache (openat2(2), preadv2(2)). Some file systems ask a server at each open
nevertheless (FUSE), so this is used on local ones only, if the mount table has no mount below them. In all other cases
(not in memory, another state of the file, a symlink, an old kernel, a seccomp filter) the caller reads the file in a
thread (``claimed_file.py``).
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crosshaul.files.mounts import types_at
from crosshaul.model import Fingerprint

MAX_BYTES = 64 * 1024
"""Largest file that is read on the loop; takes some 30 us of its time."""

_OPENAT2 = 437
"""The system call's number on every architecture (linux/include/uapi/asm-generic/unistd.h)."""
_AT_FDCWD = -100
_NO_SYMLINKS, _CACHED = 0x04, 0x20
_LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "xfs", "zfs"})
_MOUNTS_TTL_SECONDS = 1.0
"""Seconds for which the mount table is cached."""


class _How(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


# O_NONBLOCK: opening a FIFO that nobody writes to must not hang. No symlinks: one could lead to another mount.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HOW_CACHED, _HOW_BLOCKING = _How(_FLAGS, 0, _CACHED | _NO_SYMLINKS), _How(_FLAGS, 0, _NO_SYMLINKS)
_HOW_SIZE = ctypes.sizeof(_How)


def available() -> bool:
    """Return whether this system supports openat2 with RESOLVE_CACHED."""
    directory = _open(b"/", _HOW_CACHED)
    if directory >= 0:
        os.close(directory)
    return directory >= 0


def supports(root: Path) -> bool:
    """Return whether files below ``root`` can be read by this module once they are in memory."""
    return _SUPPORTED and _is_local(_real_path(root))


def read(root: Path, path: bytes, fingerprint: Fingerprint) -> bytes | None:
    """Return the content of ``path`` below ``root`` if all of it is cached and its state is ``fingerprint``."""
    absolute = _absolute(root, path)
    if absolute is None:
        return None
    file = _open(absolute, _HOW_CACHED)
    if file < 0:
        return None
    try:
        return _read(file, fingerprint)
    except OSError:
        return None
    finally:
        os.close(file)


def fetch(files: Sequence[tuple[Path, bytes]]) -> None:
    """Load the first ``MAX_BYTES`` bytes of files into the page cache, if ``read`` supports them. Blocks; never fails.

    All reads are started before the first is awaited: a disk does many at a time in little more time than one.
    """
    opened: list[int] = []
    regular: list[int] = []
    try:
        _real_paths.update({root: os.fsencode(os.path.realpath(root)) for root in {root for root, _ in files}})
        for root, path in files:
            absolute = _absolute(root, path)
            file = -1 if absolute is None else _open(absolute, _HOW_BLOCKING)
            if file >= 0:
                opened.append(file)
                if _start_readahead(file):
                    regular.append(file)
        for file in regular:
            with suppress(OSError):
                os.pread(file, MAX_BYTES, 0)
    finally:
        for file in opened:
            os.close(file)


def _start_readahead(file: int) -> bool:
    """Start reading ahead; return whether it is a regular file."""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return False
        os.posix_fadvise(file, 0, MAX_BYTES, os.POSIX_FADV_WILLNEED)
    except OSError:
        return False
    return True


def _absolute(root: Path, path: bytes) -> bytes | None:
    """Return the file's absolute path if this module can read it."""
    top = _real_path(root)
    return None if b".." in path or not _is_local(top) else top + b"/" + path


_real_paths: dict[Path, bytes] = {}


def _real_path(root: Path) -> bytes:
    """Return the root without symlinks if ``fetch`` has resolved it (resolving blocks), or the root as it is."""
    return _real_paths.get(root) or _real_paths.setdefault(root, os.fsencode(root))


def is_on_local_file_system(root: bytes, table: bytes) -> bool:
    """Return whether ``root`` is on a local file system with no mount below it, by the text of mountinfo (proc(5))."""
    holder, below = types_at(root, table)
    return holder in _LOCAL and not below


_local: dict[bytes, tuple[float, bool]] = {}


def _is_local(root: bytes) -> bool:
    now = time.monotonic()
    checked_at, answer = _local.get(root, (-_MOUNTS_TTL_SECONDS, False))
    if now - checked_at >= _MOUNTS_TTL_SECONDS:
        try:
            answer = is_on_local_file_system(root, Path("/proc/self/mountinfo").read_bytes())
        except OSError:
            answer = False
        _local[root] = (now, answer)
    return answer


def _read(file: int, fingerprint: Fingerprint) -> bytes | None:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or not fingerprint.is_of(status):
        return None
    data = bytearray(fingerprint.size)
    if os.preadv(file, [data], 0, os.RWF_NOWAIT) != fingerprint.size or not fingerprint.is_of(os.fstat(file)):
        return None
    return bytes(data)


def _open(path: bytes, how: _How) -> int:
    """Return a descriptor, or -1. The system call would cut a path at a NUL."""
    if not _SUPPORTED or b"\0" in path:
        return -1
    call = _call_cached if how is _HOW_CACHED else _call_blocking
    opened: int = call(_OPENAT2, _AT_FDCWD, path, ctypes.byref(how), _HOW_SIZE)
    return opened


_SUPPORTED = sys.platform == "linux" and hasattr(os, "RWF_NOWAIT")
if _SUPPORTED:
    # The first keeps the interpreter's lock, since it never waits. The second releases it.
    _call_cached, _call_blocking = ctypes.PyDLL(None).syscall, ctypes.CDLL(None).syscall
    for _call in (_call_cached, _call_blocking):
        _call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
        _call.restype = ctypes.c_long
