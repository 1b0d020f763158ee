"""Small files that the kernel has in memory, read without a thread: it gives what needs no waiting, or nothing.

Those that it does not have in memory are fetched there by a thread, many at once, and then read the same way.

A hop to a thread costs many times what such a read does, and the threads contend with the loop for the interpreter.
Linux can promise not to wait: openat2 with RESOLVE_CACHED opens only what its caches lead to (since 5.12), and
preadv2 with RWF_NOWAIT reads only from its page cache (openat2(2), preadv2(2)). Some file systems ask a server at each
open all the same (FUSE), so this is for local ones alone, with none mounted below them, by the mount table. Whatever
is out of the ordinary (not in memory, another state of the file, a symlink, an old kernel, a seccomp filter) is left
to ``source.py``, in a thread.
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

MOST = 64 * 1024
"""Bytes of a file read so: some 30 us of the loop's time."""

_OPENAT2 = 437
"""The system call's number on every architecture (linux/include/uapi/asm-generic/unistd.h)."""
_AT_FDCWD = -100
_NO_SYMLINKS, _CACHED = 0x04, 0x20
_LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "xfs", "zfs"})
_FRESH = 1.0
"""Seconds for which the mount table is believed."""


class _How(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


# O_NONBLOCK: opening a FIFO that nobody writes to must not hang. No symlinks anywhere: one could lead to another mount.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HOW, _HOW_SLOWLY = _How(_FLAGS, 0, _CACHED | _NO_SYMLINKS), _How(_FLAGS, 0, _NO_SYMLINKS)
_HOW_SIZE = ctypes.sizeof(_How)


def available() -> bool:
    """Whether this system opens anything so."""
    directory = _open(b"/", _HOW)
    if directory >= 0:
        os.close(directory)
    return directory >= 0


def serves(root: Path) -> bool:
    """Whether files below ``root`` can be read here once they are in memory."""
    return _promises and _is_local(_top(root))


def read(root: Path, path: bytes, fingerprint: Fingerprint) -> bytes | None:
    """All of the file at ``path`` below ``root``, if it is in this very state, and all of it is in memory."""
    place = _place(root, path)
    if place is None:
        return None
    file = _open(place, _HOW)
    if file < 0:
        return None
    try:
        return _read(file, fingerprint)
    except OSError:
        return None
    finally:
        os.close(file)


def fetch(files: Sequence[tuple[Path, bytes]]) -> None:
    """Have the first ``MOST`` bytes of these files in memory, where ``read`` could find them; blocks, never fails.

    All are asked for before the first is waited for: a disk does many at once in little more time than one.
    """
    opened: list[int] = []
    regular: list[int] = []
    try:
        _real.update({root: os.fsencode(os.path.realpath(root)) for root in {root for root, _ in files}})
        for root, path in files:
            place = _place(root, path)
            file = -1 if place is None else _open(place, _HOW_SLOWLY)
            if file >= 0:
                opened.append(file)
                if _asked_for(file):
                    regular.append(file)
        for file in regular:
            with suppress(OSError):
                os.pread(file, MOST, 0)
    finally:
        for file in opened:
            os.close(file)


def _asked_for(file: int) -> bool:
    """Have the file read ahead, if it is one; nothing is read from anything else."""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return False
        os.posix_fadvise(file, 0, MOST, os.POSIX_FADV_WILLNEED)
    except OSError:
        return False
    return True


def _place(root: Path, path: bytes) -> bytes | None:
    """Where the file is, if it can be read here at all."""
    top = _top(root)
    return None if b".." in path or not _is_local(top) else top + b"/" + path


_real: dict[Path, bytes] = {}


def _top(root: Path) -> bytes:
    """The root without symlinks, so far as that is known: finding out is for threads."""
    return _real.get(root) or _real.setdefault(root, os.fsencode(root))


def local(root: bytes, table: bytes) -> bool:
    """Whether all below ``root`` is on one local file system, by a mount table (proc(5), /proc/pid/mountinfo)."""
    holder, below = types_at(root, table)
    return holder in _LOCAL and not below


_asked: dict[bytes, tuple[float, bool]] = {}


def _is_local(root: bytes) -> bool:
    now = time.monotonic()
    at, answer = _asked.get(root, (-_FRESH, False))
    if now - at >= _FRESH:
        try:
            answer = local(root, Path("/proc/self/mountinfo").read_bytes())
        except OSError:
            answer = False
        _asked[root] = (now, answer)
    return answer


def _read(file: int, fingerprint: Fingerprint) -> bytes | None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or not fingerprint.is_of(found):
        return None
    data = bytearray(fingerprint.size)
    if os.preadv(file, [data], 0, os.RWF_NOWAIT) != fingerprint.size or not fingerprint.is_of(os.fstat(file)):
        return None
    return bytes(data)


def _open(path: bytes, how: _How) -> int:
    """A descriptor, or -1. A path with a NUL in it would be cut there."""
    if not _promises or b"\0" in path:
        return -1
    call = _at_once if how is _HOW else _in_its_time
    opened: int = call(_OPENAT2, _AT_FDCWD, path, ctypes.byref(how), _HOW_SIZE)
    return opened


_promises = sys.platform == "linux" and hasattr(os, "RWF_NOWAIT")
if _promises:
    # The first keeps the interpreter's lock, since it never waits; the second lets others go on.
    _at_once, _in_its_time = ctypes.PyDLL(None).syscall, ctypes.CDLL(None).syscall
    for _call in (_at_once, _in_its_time):
        _call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
        _call.restype = ctypes.c_long
