"""The directory that a route moves its delivered files to, reached so that nobody can lead a file elsewhere.

Symlinks on the way are those that the operator wrote into ``move_to``, as they were when the daemon started. From a
watched root on, whose users may put symlinks there at any time, none is followed at all.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from crosshaul.errors import SourceError
from crosshaul.files.source import shown

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_START = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class MoveTarget:
    """One route's ``move_to``."""

    def __init__(self, path: Path, roots: Iterable[Path]) -> None:
        """Resolve the operator's symlinks (blocking). ``roots``: all watched directories."""
        self.path = path
        self._base, self._steps = _trusted_part(path, roots)

    @contextmanager
    def directory(self, below: Sequence[bytes]) -> Iterator[int]:
        """Descriptor of the directory ``below`` the target, made as needed. Raises SourceError."""
        try:
            descriptor = os.open(self._base, _START)
        except OSError as error:
            raise self._refusal(error) from error
        try:
            for name in (*self._steps, *below):
                descriptor = self._step(descriptor, name)
            yield descriptor
        finally:
            os.close(descriptor)

    def _step(self, descriptor: int, name: bytes) -> int:
        """Descriptor of the directory ``name`` in ``descriptor``, which is closed once the step is made."""
        try:
            try:
                below = os.open(name, _STEP, dir_fd=descriptor)
            except FileNotFoundError:
                os.mkdir(name, dir_fd=descriptor)
                below = os.open(name, _STEP, dir_fd=descriptor)
        except OSError as error:
            raise self._refusal(error, name) from error
        os.close(descriptor)
        return below

    def _refusal(self, error: OSError, name: bytes = b"") -> SourceError:
        if error.errno in {errno.ENOTDIR, errno.ELOOP} and name:
            reason = f"{shown(name)} on the way to it is no directory, or a symlink put there since the start"
            cure = "nothing is moved through it. Put the directory back, or write its real name into move_to"
            return SourceError(f"move_to {self.path}: {reason}; {cure}")
        reason = error.strerror or type(error).__name__
        return SourceError(f"move_to {self.path}: {reason}; check that it is mounted, its owner, mode and free space")


def _trusted_part(path: Path, roots: Iterable[Path]) -> tuple[Path, tuple[bytes, ...]]:
    """Where the walk to ``path`` begins, and the names from there on, through none of which a symlink leads."""
    watched = [(root, root.resolve()) for root in roots]
    for prefix in [*reversed(path.parents), path]:
        real = prefix.resolve()
        for root, top in watched:
            if real == top or top in real.parents:
                steps = PurePath(*real.relative_to(top).parts, *path.relative_to(prefix).parts)
                return root, _names(steps)
    return Path("/"), _names(path.resolve().relative_to("/"))


def _names(path: PurePath) -> tuple[bytes, ...]:
    return tuple(os.fsencode(part) for part in path.parts)
