"""The path of a directory below a root, stored as a name and a parent: a long common path is stored once."""

from __future__ import annotations

_WHOLE_PATH_BYTES = 256
"""A path up to this length is stored whole: nearly all are."""

MAX_PATH = 4096
"""Length in bytes of the longest path below a root that is read (the kernel's PATH_MAX). It is four times the longest
key. The limit bounds the memory for paths: a few thousand nested directories are quickly made, and the total length of
their paths grows with the square of their number."""


class Directory:
    """The path of a directory, and its real path if a followed symlink leads to it."""

    __slots__ = ("length", "parent", "part", "real")
    length: int

    def __init__(self, path: bytes, real: Directory | None = None, parent: Directory | None = None) -> None:
        """``path`` is relative to ``parent``, or to the root."""
        self.parent = parent
        self.part = path
        self.length = len(path) + (parent.length + 1 if parent is not None and parent.length else 0)
        if parent is not None and self.length <= _WHOLE_PATH_BYTES:
            self.part = parent.prefix + path
            self.parent = None
        self.real = self if real is None else real

    @property
    def path(self) -> bytes:
        """The path below the root; empty for the root itself."""
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
        """The common start of the paths in it."""
        return self.path + b"/" if self.length else b""

    @property
    def linked(self) -> bool:
        """True if it is, or lies below, the target of a followed symlink."""
        return self.real is not self

    def child(self, name: bytes) -> Directory:
        """Return the directory ``name`` in this one."""
        return Directory(name, Directory(name, None, self.real) if self.linked else None, self)
