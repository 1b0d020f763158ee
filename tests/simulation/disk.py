"""A file system in memory: the calls of ``os`` that discovery and files make, and times from a made-up clock."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass(eq=False)
class Node:
    """A directory (``entries``) or a file (``data``)."""

    inode: int
    entries: dict[bytes, Node] | None = None
    data: bytes = b""
    mtime_ns: int = 0
    ctime_ns: int = 0
    names: int = 1
    unsent: str = ""
    """The violation of its rename, which may be undone."""
    writers: int = 0
    """Programs that have it open for writing."""

    def stat(self) -> Any:
        mode = stat.S_IFREG if self.entries is None else stat.S_IFDIR
        return SimpleNamespace(
            st_mode=mode | 0o644, st_ino=self.inode, st_dev=1, st_nlink=self.names, st_size=len(self.data),
            st_mtime_ns=self.mtime_ns, st_ctime_ns=self.ctime_ns,
        )  # fmt: skip


def _gone(name: object) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "No such file or directory", name)


@dataclass
class Disk:
    """The tree, and what writers do to it. Paths are absolute, in bytes."""

    now: Callable[[], float]
    top: Node = field(default_factory=lambda: Node(1, {}))
    inodes: int = 1
    ticks: int = 0

    def find(self, path: bytes) -> Node:
        """Return the node at a path. Raises FileNotFoundError."""
        node = self.top
        for part in path.split(b"/"):
            if part:
                if node.entries is None or part not in node.entries:
                    raise _gone(path)
                node = node.entries[part]
        return node

    def make(self, path: bytes) -> dict[bytes, Node]:
        """Return the entries of a directory, which is created if needed."""
        node = self.top
        for part in path.split(b"/"):
            if part:
                assert node.entries is not None
                node = node.entries.setdefault(part, self._node({}))
        assert node.entries is not None
        return node.entries

    def write(self, path: bytes, data: bytes) -> None:
        """Overwrite a file in place, or create it."""
        folder, _, name = path.rpartition(b"/")
        entries = self.make(folder)
        node = entries.setdefault(name, self._node(None))
        node.data = data
        node.mtime_ns = node.ctime_ns = self._stamp()

    def append(self, node: Node, data: bytes) -> None:
        """Append through an open descriptor, wherever the file is now."""
        node.data += data
        node.mtime_ns = node.ctime_ns = self._stamp()

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename, replacing an existing file."""
        folder, _, name = source.rpartition(b"/")
        node = self.make(folder).pop(name)
        folder, _, name = target.rpartition(b"/")
        self.make(folder)[name] = node
        node.ctime_ns = self._stamp()

    def chmod(self, path: bytes) -> None:
        """Change only the ctime."""
        self.find(path).ctime_ns = self._stamp()

    def link(self, path: bytes, other: bytes) -> None:
        """Give the file another name, replacing an existing file."""
        folder, _, name = other.rpartition(b"/")
        node = self.find(path)
        entries = self.make(folder)
        if entries.get(name) is node:
            return
        entries[name] = node
        node.names += 1
        node.ctime_ns = self._stamp()

    def forge(self, path: bytes, data: bytes) -> None:
        """Write other bytes of the same number, and restore the time, like `touch -r` and `rsync --inplace --times`."""
        node = self.find(path)
        assert len(data) == len(node.data)
        node.data, node.ctime_ns = data, self._stamp()

    def delete(self, path: bytes) -> None:
        """Remove the name."""
        folder, _, name = path.rpartition(b"/")
        node = self.make(folder).pop(name)
        node.names -= 1
        node.ctime_ns = self._stamp()

    def files(self, root: bytes) -> dict[bytes, bytes]:
        """Return the data of each file by its path below ``root``."""
        return {path: node.data for path, node in self.nodes(root).items()}

    def nodes(self, root: bytes) -> dict[bytes, Node]:
        """Return each file by its path below ``root``."""
        found: dict[bytes, Node] = {}

        def descend(node: Node, path: bytes) -> None:
            if node.entries is None:
                found[path] = node
                return
            for name, child in node.entries.items():
                descend(child, path + b"/" + name if path else name)

        descend(self.find(root), b"")
        return found

    def names_of(self, node: Node, root: bytes) -> list[bytes]:
        """Return the paths below ``root`` of a file."""

        def descend(here: Node, path: bytes) -> Iterator[bytes]:
            if here is node:
                yield path
            for name, child in (here.entries or {}).items():
                yield from descend(child, path + b"/" + name if path else name)

        return list(descend(self.find(root), b""))

    def _node(self, entries: dict[bytes, Node] | None) -> Node:
        self.inodes += 1
        stamp = self._stamp()
        return Node(self.inodes, entries, b"", stamp, stamp)

    def _stamp(self) -> int:
        self.ticks += 1  # no two changes at one time: tests/watching has the coarse clock
        return int(self.now() * 1e9) + self.ticks


class _Entry:
    def __init__(self, name: bytes, node: Node) -> None:
        self.name = os.fsdecode(name)
        self._node = node

    def is_symlink(self) -> bool:
        return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._node.entries is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._node.entries is None

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        return self._node.stat()


class DiskOs:
    """``os`` for the product. ``reading`` is called before each piece is read.

    ``leaving`` returns, before a name is removed, why it must not be; ``broken`` is called with the violation.
    """

    _descriptors = itertools.count(1000)
    """Of all worlds: what is left of an earlier one closes its own when it is thrown away, whenever that is."""

    def __init__(
        self, disk: Disk, reading: Callable[[], None], leaving: Callable[[Node], str], broken: Callable[[str], None]
    ) -> None:
        self._disk = disk
        self._reading = reading
        self._leaving = leaving
        self._broken = broken
        self._open: dict[int, Node] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _take(self, node: Node) -> int:
        descriptor = next(self._descriptors)
        self._open[descriptor] = node
        return descriptor

    def _entry(self, name: Any, dir_fd: int | None) -> Node:
        if dir_fd is None:
            return self._disk.find(os.fsencode(name))
        entries = self._open[dir_fd].entries
        if entries is None or os.fsencode(name) not in entries:
            raise _gone(name)
        return entries[os.fsencode(name)]

    def open(self, path: Any, flags: int, mode: int = 0, *, dir_fd: int | None = None) -> int:
        node = self._entry(path, dir_fd)
        if flags & os.O_DIRECTORY and node.entries is None:
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        return self._take(node)

    def dup(self, descriptor: int) -> int:
        return self._take(self._open[descriptor])

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def fstat(self, descriptor: int) -> Any:
        return self._open[descriptor].stat()

    def stat(self, name: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
        return self._entry(name, dir_fd).stat()

    @contextmanager
    def scandir(self, descriptor: int) -> Iterator[list[_Entry]]:
        entries = self._open[descriptor].entries
        assert entries is not None
        yield [_Entry(name, node) for name, node in entries.items()]

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        self._reading()
        half = length // 2  # in two pieces, between which a writer may write
        first = self._open[descriptor].data[offset : offset + half]
        self._reading()
        return first + self._open[descriptor].data[offset + half : offset + length]

    def preadv(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        data = self.pread(descriptor, len(buffers[0]), offset)
        buffers[0][: len(data)] = data
        return len(data)

    def unlink(self, name: Any, *, dir_fd: int) -> None:
        node = self._entry(name, dir_fd)
        if node.names == 1 and (wrong := node.unsent or self._leaving(node)):
            self._broken(wrong)
        entries = self._open[dir_fd].entries
        assert entries is not None
        del entries[os.fsencode(name)]
        node.names -= 1
        node.ctime_ns = self._disk._stamp()

    def rename_at_once(self, source: int, name: bytes, target: int, taken: bytes) -> bool:
        """Rename as renameat2 with RENAME_NOREPLACE does."""
        before, after = self._open[source].entries, self._open[target].entries
        assert before is not None
        assert after is not None
        if taken in after:
            raise FileExistsError(errno.EEXIST, "File exists", taken)
        node = self._entry(name, source)
        node.unsent = self._leaving(node)
        after[taken] = before.pop(name)
        node.ctime_ns = self._disk._stamp()
        return True

    def rename_noreplace(self, source: int, name: bytes, target: int, taken: bytes) -> None:
        self.rename_at_once(source, name, target, taken)

    def take_lease(self, descriptor: int) -> Any:
        """As Lease.take: granted unless a program has the file open for writing; nobody comes while it is held."""
        if self._open[descriptor].writers:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return SimpleNamespace(broken=False, release=lambda: None)

    def mkdir(self, name: Any, mode: int = 0o777, *, dir_fd: int) -> None:
        entries = self._open[dir_fd].entries
        assert entries is not None
        if os.fsencode(name) in entries:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        entries[os.fsencode(name)] = self._disk._node({})
