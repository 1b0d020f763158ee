"""Scan a watched directory. A scan is the truth about its files; events are only hints."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from crosshaul.config import Route
from crosshaul.discovery.followed_links import FollowedLinks
from crosshaul.discovery.scan_results import PathStats, ScanBatch, ScanProblem
from crosshaul.discovery.selection import Selection
from crosshaul.discovery.tree_scan import DirectoryCallback, OwnBelow, TreeScan
from crosshaul.errors import FileChangedError, FileGoneError, SourceError
from crosshaul.files.file_clock import FileClock, of_mounts
from crosshaul.files.marker import Marker
from crosshaul.files.mounts import types_at
from crosshaul.files.own_paths import OwnPaths, identity_of
from crosshaul.files.root import Root
from crosshaul.model import Fingerprint, Sighting

_EMPTY_ROOT = ". is empty but was not before: is the volume mounted? Its pending files are kept"


class Scanner:
    """Reads the state of one route's files. Each call opens the root again, so a replaced root is noticed. Blocks."""

    def __init__(
        self, route: Route, own: Callable[[], OwnPaths] = OwnPaths, links: FollowedLinks | None = None
    ) -> None:
        """``own`` returns the daemon's own paths, which are skipped (blocking). Followed symlinks go to ``links``."""
        self._route = route
        self._links = FollowedLinks() if links is None else links
        self._read_own_paths = own
        self._own = OwnBelow(OwnPaths(), frozenset())
        self._marker = Marker(route.settle.marker) if route.settle.marker else None
        self._scanned_root: tuple[int, int] | None = None
        """Device and inode of the root at the last scan."""
        self.file_clock = FileClock()
        """The clock of the tree's file system at the last full scan."""
        self._clock_root: tuple[int, int] | None = None
        self.selection = Selection(route.include, route.exclude, route.settle.marker)

    def scan(self, start: bytes = b"", on_directory: DirectoryCallback | None = None) -> Iterator[ScanBatch]:
        """Yield the files at and below the directory ``start``, in batches.

        Raises SourceError if the root can't be opened; this does not mean that its files were deleted.
        """
        with Root.open(self._route.path) as root:
            if not start:
                self._read_clock(root)
            if not start and not self._accept_root(root):
                yield ScanBatch(problems=[ScanProblem(b"", _EMPTY_ROOT, unreadable=True)])
            paths = self._read_own_paths()
            below = paths.below(self._route.path) | (self._own.below if start else frozenset())
            self._own = own = OwnBelow(paths, below)
            scan = TreeScan(root, self._route, self.selection, on_directory, own)
            yield from scan.run(start)
            (self._links.add if start else self._links.replace)(self._route, scan.links)

    def _accept_root(self, root: Root) -> bool:
        """Return whether this directory is the root now; an empty one in its place may be a bare mount point."""
        identity = (root.device, root.inode)
        if self._scanned_root not in {None, identity} and root.is_empty():
            return False
        self._scanned_root = identity
        return True

    def stat_paths(self, paths: Iterable[bytes]) -> PathStats:
        """Return the present state of each of ``paths``.

        Raises SourceError if the root can't be opened or is not the directory of the last scan: files that are missing
        in another directory (an unmounted volume's mount point) were not deleted.
        """
        stats = PathStats()
        with Root.open(self._route.path) as root:
            if self._scanned_root not in {None, (root.device, root.inode)}:
                raise FileChangedError(
                    f"{self._route.path}: another directory took its place; it has to be scanned first"
                )
            if self._clock_root != (root.device, root.inode):
                self._read_clock(root)
            for path in paths:
                try:
                    self._stat_path(root, path, stats)
                except (FileGoneError, FileChangedError):
                    stats.absent.append(path)
                except SourceError as error:
                    stats.problems.append(ScanProblem(path, str(error), unreadable=True))
        return stats

    def _read_clock(self, root: Root) -> None:
        self._clock_root = (root.device, root.inode)
        self.file_clock = file_clock_at(self._route.path)

    def _stat_path(self, root: Root, path: bytes, stats: PathStats) -> None:
        status = root.stat(path)
        if self._own.holds(path) or identity_of(status) in self._own.paths.logs:
            return
        if stat.S_ISLNK(status.st_mode) and self._route.symlinks == "follow_inside" and (target := root.resolve(path)):
            status = root.stat(target)
            self._links.add(self._route, {target: (path,)})
        if stat.S_ISDIR(status.st_mode):
            if self.selection.enters(path):
                stats.directories.append(path)
        elif not stat.S_ISREG(status.st_mode):
            stats.absent.append(path)
        elif self.selection.is_marker(path):
            stats.markers.append(path)
        elif self.selection.takes(path):
            stats.sightings.append(Sighting(self._route.name, path, Fingerprint.of(status)))
        else:
            stats.excluded.append(path)

    def markers(self, sightings: Iterable[Sighting]) -> dict[bytes, Fingerprint]:
        """Return the state of each file's marker, by the file's path; files without a marker are left out."""
        if self._marker is None:
            return {}
        with Root.open(self._route.path) as root:
            states = ((sighting.path, _state(root, self._marker.of(sighting.path))) for sighting in sightings)
            return {path: state for path, state in states if state is not None}


def file_clock_at(root: Path) -> FileClock:
    """Return the clock of the tree at ``root``; without a mount table the default, which trusts no time stamp."""
    try:
        table = Path("/proc/self/mountinfo").read_bytes()
        return of_mounts(*types_at(os.path.realpath(os.fsencode(root)), table), os.uname().release)
    except OSError:
        return FileClock()


def _state(root: Root, path: bytes) -> Fingerprint | None:
    try:
        return Fingerprint.of(root.stat(path))
    except SourceError:
        return None
