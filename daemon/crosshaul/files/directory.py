"""A directory below a watched root, by its name in another one: many under one long path cost that path once."""

from __future__ import annotations

_KEPT = 256
"""Bytes up to which a directory keeps its whole path, which is what nearly all are asked for."""

MAX_PATH = 4096
"""Bytes of the longest path below a root that is looked at (the kernel's PATH_MAX). No key holds a quarter of it, and
each place that remembers paths would have to reckon with longer ones: a few thousand nested directories are made in a
moment, and their paths together are as long as the square of that."""


class Directory:
    """What a directory is called, and where it really is: another one, below a symlink that is followed."""

    __slots__ = ("length", "parent", "part", "real")
    length: int

    def __init__(self, path: bytes, real: Directory | None = None, parent: Directory | None = None) -> None:
        """``path`` is relative to ``parent``, or to the root."""
        self.parent = parent
        self.part = path
        self.length = len(path) + (parent.length + 1 if parent is not None and parent.length else 0)
        if parent is not None and self.length <= _KEPT:
            self.part = parent.prefix + path
            self.parent = None
        self.real = self if real is None else real

    @property
    def path(self) -> bytes:
        """Its path below the root; empty for the root itself."""
        if self.parent is None:
            return self.part
        parts: list[bytes] = []
        here: Directory | None = self
        while here is not None:
            parts.append(here.part)
            here = here.parent
        return b"/".join(reversed(parts))

    @property
    def prefix(self) -> bytes:
        """What the paths in it begin with."""
        return self.path + b"/" if self.length else b""

    @property
    def linked(self) -> bool:
        """Whether a symlink leads to it, or to a directory above it."""
        return self.real is not self

    def child(self, name: bytes) -> Directory:
        """The directory ``name`` in this one."""
        return Directory(name, Directory(name, None, self.real) if self.linked else None, self)
