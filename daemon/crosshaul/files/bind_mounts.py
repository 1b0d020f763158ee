"""All names that a directory has by the mounts of its file system: a bind mount gives it another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo: ``root`` is the directory of the file system that is seen at ``point``."""

    device: bytes
    root: bytes
    point: bytes


class Mounts:
    """The mounts that this process sees, as they were when this was made; none where there is no /proc."""

    def __init__(self, text: bytes | None = None) -> None:
        lines = (_read() if text is None else text).splitlines()
        self._mounts = [_mount(fields) for fields in map(bytes.split, lines) if len(fields) > 4]  # noqa: PLR2004

    def names(self, path: bytes) -> Iterator[bytes]:
        """``path`` (absolute, without symlinks) and each other path at which the same directory may be seen."""
        yield path
        here = self._mount_of(path)
        if here is None:
            return
        inside = _join(here.root, path[len(here.point.rstrip(b"/")) :])
        for mount in self._mounts:
            if mount != here and mount.device == here.device and _holds(mount.root, inside):
                yield _join(mount.point, inside[len(mount.root.rstrip(b"/")) :])

    def any_below(self, path: bytes) -> bool:
        """Whether anything is mounted below ``path``: only then may one directory be seen twice in it."""
        return any(mount.point != path and _holds(path, mount.point) for mount in self._mounts)

    def _mount_of(self, path: bytes) -> Mount | None:
        """The mount that ``path`` is on: the last of those with the longest mount point above it."""
        above = (mount for mount in reversed(self._mounts) if _holds(mount.point, path))
        return max(above, key=lambda mount: len(mount.point), default=None)


def _read() -> bytes:
    try:
        return Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return b""


def _mount(fields: list[bytes]) -> Mount:
    return Mount(fields[2], _unescaped(fields[3]), _unescaped(fields[4]))


def _unescaped(path: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), path)


def _holds(directory: bytes, path: bytes) -> bool:
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def _join(directory: bytes, below: bytes) -> bytes:
    return directory.rstrip(b"/") + (b"/" + below.strip(b"/") if below.strip(b"/") else b"") or b"/"
