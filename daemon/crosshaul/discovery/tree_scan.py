"""One scan of a directory tree, in batches.

The scan keeps directory descriptors and opens each directory from its parent's, so that a symlink that appears during
the scan leads nowhere. It has its own stack and yields small batches: neither depth nor number of files costs memory.
Blocks: on an event loop use a thread.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crosshaul.config import Route
from crosshaul.discovery.directory_trail import DirectoryTrail
from crosshaul.discovery.scan_results import ScanBatch, ScanProblem
from crosshaul.discovery.selection import Selection
from crosshaul.display import printable
from crosshaul.errors import FileGoneError, SourceError
from crosshaul.files.own_paths import OwnPaths, identity_of
from crosshaul.files.root import Root
from crosshaul.files.shared_prefix_path import MAX_PATH, Directory
from crosshaul.model import Fingerprint, Sighting

BATCH_ENTRIES = 500
"""Directory entries for each batch: some 5 ms of work."""
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""As os.fsencode, which looks them up at each call."""
_MAX_NAME_BYTES = 255

DirectoryCallback = Callable[[Directory, int], None]
"""Called with a directory and its descriptor before it is listed: a watch that is set now misses nothing."""


@dataclass(slots=True)
class OwnBelow:
    """The daemon's own paths below a root. Several threads read it, so its sets are replaced and never modified."""

    paths: OwnPaths
    below: frozenset[bytes]
    """Paths of its directories below the root. The scan adds further paths that lead to one of them."""

    def holds(self, path: bytes) -> bool:
        """Return whether ``path`` is one of these directories or lies below one."""
        return any(path == own or path.startswith(own + b"/") for own in self.below)


class TreeScan:
    """One scan: a stack of directories to list, and the open descriptors above the present one."""

    def __init__(
        self, root: Root, route: Route, selection: Selection, on_directory: DirectoryCallback | None, own: OwnBelow
    ) -> None:
        self._root = root
        self._own = own
        self._route = route
        self._selection = selection
        self._on_directory = on_directory
        self._follows = route.symlinks == "follow_inside"
        self._stack: list[Directory] = []
        self._trail = DirectoryTrail(root.descriptor)
        self._batch = ScanBatch()
        self.links: dict[bytes, tuple[bytes, ...]] = {}
        """The followed symlinks, by their target."""
        self._entries = 0
        self._too_long = 0

    def run(self, start: bytes) -> Iterator[ScanBatch]:
        """Yield the files at and below ``start`` in batches."""
        self._stack = [] if self._own.holds(start) else [Directory(start)]
        try:
            while self._stack:
                yield from self._list(self._stack.pop())
            yield self._batch
        finally:
            self._trail.close()

    def _list(self, directory: Directory) -> Iterator[ScanBatch]:
        try:
            descriptor = self._open(directory)
            if descriptor is None:
                return
            prefix, self._too_long = directory.prefix, 0
            visit = self._visit if len(prefix) + _MAX_NAME_BYTES <= MAX_PATH else self._visit_if_short
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    visit(directory, prefix, entry)
                    self._entries += 1
                    if self._entries % BATCH_ENTRIES == 0:
                        batch, self._batch = self._batch, ScanBatch()
                        yield batch
            if self._too_long:
                self._note_too_long(directory)
        except OSError as error:
            self._report(directory.path, error)

    def _open(self, directory: Directory) -> int | None:
        descriptor = self._trail.open(directory.real.path)
        status = os.fstat(descriptor)
        if directory.length and identity_of(status) in self._own.paths.directories:
            self._own.below |= {directory.path}
            return None
        if not self._route.cross_filesystems and status.st_dev != self._root.device:
            reason = "on another file system; set cross_filesystems: true to scan it"
            self._note(directory.path, f"{printable(directory.path)}: {reason}")
            return None
        # Below a followed symlink the directory is already watched by its real path.
        if self._on_directory is not None and not directory.linked:
            self._on_directory(directory, descriptor)
        return descriptor

    def _visit_if_short(self, directory: Directory, prefix: bytes, entry: os.DirEntry[str]) -> None:
        if len(prefix) + len(entry.name.encode(_ENCODING, _ERRORS)) > MAX_PATH:
            self._too_long += 1
        else:
            self._visit(directory, prefix, entry)

    def _note_too_long(self, directory: Directory) -> None:
        """Report all too long paths of a directory in one line."""
        name = printable(directory.path)
        name = f"{name[:100]}...{name[-100:]}"
        message = f"{name}: paths of {self._too_long:,} names in it are longer than {MAX_PATH:,} bytes; shorten them"
        self._batch.problems.append(ScanProblem(directory.path, message, unreadable=True))

    def _visit(self, directory: Directory, prefix: bytes, entry: os.DirEntry[str]) -> None:
        name = entry.name.encode(_ENCODING, _ERRORS)
        path = prefix + name
        try:
            # Files first: nearly all entries are files.
            if entry.is_file(follow_symlinks=False):
                if self._selection.takes(path):
                    self._sight(path, entry.stat(follow_symlinks=False))
            elif entry.is_symlink():
                if self._follows:
                    self._follow(directory.child(name))
            elif entry.is_dir(follow_symlinks=False):
                self._enter(directory.child(name))
        except OSError as error:
            self._report(path, error)

    def _enter(self, directory: Directory) -> None:
        if self._selection.enters(directory.path):
            self._stack.append(directory)

    def _sight(self, path: bytes, status: os.stat_result) -> None:
        if self._own.paths.logs and identity_of(status) in self._own.paths.logs:
            self._note(path, f"{printable(path)}: the daemon writes its log to this file; it is not delivered")
            return
        self._batch.sightings.append(Sighting(self._route.name, path, Fingerprint.of(status)))

    def _follow(self, link: Directory) -> None:
        """Visit the target of a symlink, unless it is outside, missing, or part of a cycle."""
        try:
            target = self._root.resolve(link.path)
            if not target:
                return
            status = self._root.stat(target)
        except FileGoneError:
            return
        except SourceError as error:
            self._note(link.path, str(error))
            return
        if self._own.holds(target):
            return
        if stat.S_ISREG(status.st_mode) and self._selection.takes(link.path):
            self._remember(link, target)
            self._sight(link.path, status)
        # Follow one directory link in a path only: links below a followed link could form a cycle.
        elif stat.S_ISDIR(status.st_mode) and not link.linked and not link.real.prefix.startswith(target + b"/"):
            self._remember(link, target)
            self._enter(Directory(link.path, Directory(target)))

    def _remember(self, link: Directory, target: bytes) -> None:
        self.links[target] = (*self.links.get(target, ()), link.path)

    def _report(self, path: bytes, error: OSError) -> None:
        # Paths that were removed or replaced during the scan are left to the next stat.
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            message = f"{printable(path) or self._route.path}: {error.strerror}; skipped until it can be read"
            self._batch.problems.append(ScanProblem(path, message, unreadable=True))

    def _note(self, path: bytes, message: str) -> None:
        self._batch.problems.append(ScanProblem(path, message))
