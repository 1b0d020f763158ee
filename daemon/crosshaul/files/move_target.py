"""Open the directory that a route moves its delivered files to, so that no user can redirect a file.

Symlinks in ``move_to`` are the operator's, and are resolved when the daemon starts. Below a watched root, where users
can create symlinks at any time, none is followed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from crosshaul.display import printable
from crosshaul.errors import SourceError

_CHILD = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BASE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class MoveTarget:
    """The ``move_to`` directory of one route."""

    def __init__(self, path: Path, roots: Iterable[Path]) -> None:
        """Resolve the operator's symlinks (blocking). ``roots``: all watched directories."""
        self.path = path
        self._base, self._names = _split_trusted(path, roots)

    @contextmanager
    def directory(self, below: Sequence[bytes]) -> Iterator[int]:
        """Yield a descriptor of the directory ``below`` the target, created if needed. Raises SourceError."""
        try:
            descriptor = os.open(self._base, _BASE)
        except OSError as error:
            raise self._error(error) from error
        try:
            for name in (*self._names, *below):
                descriptor = self._open_child(descriptor, name)
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_child(self, descriptor: int, name: bytes) -> int:
        """Open the directory ``name`` in ``descriptor``, created if needed, and close ``descriptor``."""
        try:
            try:
                child = os.open(name, _CHILD, dir_fd=descriptor)
            except FileNotFoundError:
                os.mkdir(name, dir_fd=descriptor)
                child = os.open(name, _CHILD, dir_fd=descriptor)
        except OSError as error:
            raise self._error(error, name) from error
        os.close(descriptor)
        return child

    def _error(self, error: OSError, name: bytes = b"") -> SourceError:
        if error.errno in {errno.ENOTDIR, errno.ELOOP} and name:
            reason = f"{printable(name)} in this path is not a directory, or a symlink that is newer than the daemon"
            hint = "no file is moved. Restore the directory, or set move_to to its real path"
            return SourceError(f"move_to {self.path}: {reason}; {hint}")
        reason = error.strerror or type(error).__name__
        return SourceError(
            f"move_to {self.path}: {reason}; check that it is mounted, its owner, its mode and free space"
        )


def _split_trusted(path: Path, roots: Iterable[Path]) -> tuple[Path, tuple[bytes, ...]]:
    """Return the directory where opening ``path`` starts, and the names below it, none of which may be a symlink."""
    watched = [(root, root.resolve()) for root in roots]
    for prefix in [*reversed(path.parents), path]:
        real = prefix.resolve()
        for root, top in watched:
            if real == top or top in real.parents:
                names = PurePath(*real.relative_to(top).parts, *path.relative_to(prefix).parts)
                return root, _names(names)
    return Path("/"), _names(path.resolve().relative_to("/"))


def _names(path: PurePath) -> tuple[bytes, ...]:
    return tuple(os.fsencode(part) for part in path.parts)
