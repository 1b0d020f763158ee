"""Find all paths of a directory: each bind mount of its file system may give it another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo: the file system's directory ``root`` is mounted at ``point``."""

    device: bytes
    root: bytes
    point: bytes


class Mounts:
    """A snapshot of the mounts that this process sees; empty without /proc."""

    def __init__(self, text: bytes | None = None) -> None:
        lines = (_read() if text is None else text).splitlines()
        self._mounts = [_mount(fields) for fields in map(bytes.split, lines) if len(fields) > 4]  # noqa: PLR2004

    def names(self, path: bytes) -> Iterator[bytes]:
        """Yield ``path`` (absolute, without symlinks) and each other path that may lead to the same directory."""
        yield path
        here = self._mount_of(path)
        if here is None:
            return
        inside = _join(here.root, path[len(here.point.rstrip(b"/")) :])
        for mount in self._mounts:
            if mount != here and mount.device == here.device and _holds(mount.root, inside):
                yield _join(mount.point, inside[len(mount.root.rstrip(b"/")) :])

    def any_below(self, path: bytes) -> bool:
        """Return whether there is a mount below ``path``: only then can it contain one directory twice."""
        return any(mount.point != path and _holds(path, mount.point) for mount in self._mounts)

    def _mount_of(self, path: bytes) -> Mount | None:
        """Return the mount that holds ``path``: the last one of those with the longest mount point."""
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
