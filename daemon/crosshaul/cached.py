"""Small files that the kernel has in memory, read without a thread: it gives what needs no waiting, or nothing.

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
import re
import stat
import sys
import time
from pathlib import Path

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
_OCTAL = re.compile(rb"\\([0-7]{3})")


class _How(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


# O_NONBLOCK: opening a FIFO that nobody writes to must not hang. No symlinks anywhere: one could lead to another mount.
_HOW = _How(os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0, _CACHED | _NO_SYMLINKS)
_HOW_AT, _HOW_SIZE = ctypes.byref(_HOW), ctypes.sizeof(_HOW)


def available() -> bool:
    """Whether this system opens anything so."""
    directory = _open(b"/")
    if directory >= 0:
        os.close(directory)
    return directory >= 0


def read(root: Path, path: bytes, fingerprint: Fingerprint) -> bytes | None:
    """All of the file at ``path`` below ``root``, if it is in this very state, and all of it is in memory."""
    top = os.fsencode(root)
    if b".." in path or not _is_local(top):
        return None
    file = _open(top + b"/" + path)
    if file < 0:
        return None
    try:
        return _read(file, fingerprint)
    except OSError:
        return None
    finally:
        os.close(file)


def local(root: bytes, table: bytes) -> bool:
    """Whether all below ``root`` is on one local file system, by a mount table (proc(5), /proc/pid/mountinfo)."""
    top, found = root.rstrip(b"/") + b"/", (b"", "")
    for line in table.splitlines():
        mount, _, source = line.partition(b" - ")
        point = _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), mount.split(b" ")[4]).rstrip(b"/") + b"/"
        if point.startswith(top) and point != top:
            return False
        # The last of equals is mounted on top of the others.
        if top.startswith(point) and len(point) >= len(found[0]):
            found = (point, source.split(b" ")[0].decode(errors="replace"))
    return found[1] in _LOCAL


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
    if not stat.S_ISREG(found.st_mode) or Fingerprint.of(found) != fingerprint:
        return None
    data = bytearray(fingerprint.size)
    if os.preadv(file, [data], 0, os.RWF_NOWAIT) != fingerprint.size or Fingerprint.of(os.fstat(file)) != fingerprint:
        return None
    return bytes(data)


def _open(path: bytes) -> int:
    """A descriptor, or -1. A path with a NUL in it would be cut there."""
    return -1 if not _promises or b"\0" in path else _syscall(_OPENAT2, _AT_FDCWD, path, _HOW_AT, _HOW_SIZE)


_promises = sys.platform == "linux" and hasattr(os, "RWF_NOWAIT")
if _promises:
    _syscall = ctypes.PyDLL(None).syscall  # keeps the interpreter's lock: the call never waits
    _syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    _syscall.restype = ctypes.c_long
