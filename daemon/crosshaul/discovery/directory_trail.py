"""Open directories of a scan by their path below the root, without following a symlink."""

from __future__ import annotations

import os

_MAX_OPEN = 64
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DirectoryTrail:
    """Open descriptors of the last few directories between the root and the present directory."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[bytes, int]] = []

    def open(self, path: bytes) -> int:
        """Return a descriptor of the directory at ``path``, valid until the next call. Raises OSError."""
        while self._open and not _contains(self._open[-1][0], path):
            os.close(self._open.pop()[1])
        parent, descriptor = self._open[-1] if self._open else (b"", self._root)
        for name in path[len(parent) :].split(b"/"):
            if name:
                parent = parent + b"/" + name if parent else name
                descriptor = os.open(name, _LIST, dir_fd=descriptor)
                self._keep(parent, descriptor)
        return descriptor

    def _keep(self, path: bytes, descriptor: int) -> None:
        self._open.append((path, descriptor))
        if len(self._open) > _MAX_OPEN:
            os.close(self._open.pop(0)[1])

    def close(self) -> None:
        """Close all descriptors."""
        while self._open:
            os.close(self._open.pop()[1])


def _contains(directory: bytes, path: bytes) -> bool:
    return path == directory or path.startswith(directory + b"/")
