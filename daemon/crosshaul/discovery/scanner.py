"""Walk a watched directory: the truth about what is there, where events are only hints.

The walk holds directory descriptors and opens each directory from its parent's, so that no symlink that appears
meanwhile leads outside. It keeps its own stack, and gives what it found in small batches, so
that neither depth nor number of files matters for memory. Everything here blocks: callers use a thread.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crosshaul.config import Route
from crosshaul.discovery.followed_links import FollowedLinks
from crosshaul.discovery.selection import Selection
from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileGoneError, SourceError
from crosshaul.files.directory import MAX_PATH, Directory
from crosshaul.files.file_clock import FileClock, of_mounts
from crosshaul.files.marker import Marker
from crosshaul.files.mounts import types_at
from crosshaul.files.own_paths import OwnPaths, identity_of
from crosshaul.files.root import Root
from crosshaul.model import Fingerprint, Sighting

BATCH = 500
"""Directory entries per batch: some 5 ms of work."""
_OPEN_AT_ONCE = 64
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""os.fsencode's, which looks them up at each call."""
_LONGEST_NAME = 255
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Entering = Callable[[Directory, int], None]
"""Called with a directory and its descriptor before it is listed, so that nothing is missed if it is watched."""


@dataclass(frozen=True, slots=True)
class ScanProblem:
    """What was left out, and why; the message is one line with the cure."""

    path: bytes
    message: str
    unreadable: bool = False
    """It should have been looked at and could not be, rather than being left out by a rule."""


@dataclass(slots=True)
class Batch:
    """A part of what a walk found."""

    sightings: list[Sighting] = field(default_factory=list)
    problems: list[ScanProblem] = field(default_factory=list)


@dataclass(slots=True)
class PathStats:
    """What single paths turned out to be."""

    sightings: list[Sighting] = field(default_factory=list)
    directories: list[bytes] = field(default_factory=list)
    markers: list[bytes] = field(default_factory=list)
    absent: list[bytes] = field(default_factory=list)
    excluded: list[bytes] = field(default_factory=list)
    """There, and not selected."""
    problems: list[ScanProblem] = field(default_factory=list)

    @property
    def without_file(self) -> list[bytes]:
        """Where no file is any more: nothing, or a directory."""
        return [*self.absent, *self.directories]

    @property
    def unwanted(self) -> list[bytes]:
        """Files that are there and not delivered: not selected, or markers."""
        return [*self.excluded, *self.markers]


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


class Scanner:
    """Sees the files of one route. Every method opens the root anew, so a root that was replaced is seen as it is."""

    def __init__(
        self, route: Route, own: Callable[[], OwnPaths] = OwnPaths, links: FollowedLinks | None = None
    ) -> None:
        """``own`` says (blocking) what is left out as the daemon's own; ``links`` learns what symlinks lead to."""
        self._route = route
        self._links = FollowedLinks() if links is None else links
        self._look_for_own = own
        self._own = _Own(OwnPaths(), frozenset())
        self._marker = Marker(route.settle.marker) if route.settle.marker else None
        self._walked: tuple[int, int] | None = None
        self.file_clock = FileClock()
        """That of the tree, as of the last scan of all of it."""
        self._clock_of: tuple[int, int] | None = None
        self.selection = Selection(route.include, route.exclude, route.settle.marker)

    def scan(self, start: bytes = b"", entering: Entering | None = None) -> Iterator[Batch]:
        """Everything at and below the directory ``start``, in batches.

        Raises SourceError if the root can't be opened; that never means that its files were deleted.
        """
        with Root.open(self._route.path) as root:
            if not start:
                self._read_clock(root)
            if not start and not self._adopts(root):
                yield Batch(problems=[ScanProblem(b"", _EMPTY, unreadable=True)])
            paths = self._look_for_own()
            self._own = own = _Own(paths, paths.below(self._route.path) | (self._own.below if start else frozenset()))
            walk = _Scan(root, self._route, self.selection, entering, own)
            yield from walk.run(start)
            (self._links.seen if start else self._links.walked)(self._route, walk.links)

    def _adopts(self, root: Root) -> bool:
        """Whether this is the root now: no empty directory in its place is, since it may be a mount point."""
        identity = (root.device, root.inode)
        if self._walked not in {None, identity} and _is_empty(root):
            return False
        self._walked = identity
        return True

    def look(self, paths: Iterable[bytes]) -> PathStats:
        """What is at each of ``paths`` now.

        Raises SourceError if the root can't be opened, or is not the directory that was last walked: what is not in a
        directory that took its place (an unmounted volume's) was not deleted.
        """
        found = PathStats()
        with Root.open(self._route.path) as root:
            if self._walked not in {None, (root.device, root.inode)}:
                raise FileChangedError(
                    f"{self._route.path}: another directory took its place; it is walked again first"
                )
            if self._clock_of != (root.device, root.inode):
                self._read_clock(root)
            for path in paths:
                try:
                    self._look(root, path, found)
                except (FileGoneError, FileChangedError):
                    found.absent.append(path)
                except SourceError as error:
                    found.problems.append(ScanProblem(path, str(error), unreadable=True))
        return found

    def _read_clock(self, root: Root) -> None:
        self._clock_of = (root.device, root.inode)
        self.file_clock = file_clock_at(self._route.path)

    def _look(self, root: Root, path: bytes, found: PathStats) -> None:
        stat_ = root.stat(path)
        if self._own.holds(path) or identity_of(stat_) in self._own.paths.logs:
            return
        if stat.S_ISLNK(stat_.st_mode) and self._route.symlinks == "follow_inside" and (target := root.resolve(path)):
            stat_ = root.stat(target)
            self._links.seen(self._route, {target: (path,)})
        if stat.S_ISDIR(stat_.st_mode):
            if self.selection.enters(path):
                found.directories.append(path)
        elif not stat.S_ISREG(stat_.st_mode):
            found.absent.append(path)
        elif self.selection.is_marker(path):
            found.markers.append(path)
        elif self.selection.takes(path):
            found.sightings.append(Sighting(self._route.name, path, Fingerprint.of(stat_)))
        else:
            found.excluded.append(path)

    def markers(self, sightings: Iterable[Sighting]) -> dict[bytes, Fingerprint]:
        """The states of the files' markers, by the files' paths, of those that are there."""
        if self._marker is None:
            return {}
        with Root.open(self._route.path) as root:
            found = ((sighting.path, _state(root, self._marker.of(sighting.path))) for sighting in sightings)
            return {path: state for path, state in found if state is not None}


def file_clock_at(root: Path) -> FileClock:
    """The clock of the tree at ``root``; where the system has no mount table, one that vouches for nothing."""
    try:
        table = Path("/proc/self/mountinfo").read_bytes()
        return of_mounts(*types_at(os.path.realpath(os.fsencode(root)), table), os.uname().release)
    except OSError:
        return FileClock()


_EMPTY = ". is an empty directory in the place of the one that was there, whose files wait for it; is it mounted?"


def _is_empty(root: Root) -> bool:
    with os.scandir(root.descriptor) as entries:
        return next(iter(entries), None) is None


def _state(root: Root, path: bytes) -> Fingerprint | None:
    try:
        return Fingerprint.of(root.stat(path))
    except SourceError:
        return None


@dataclass(slots=True)
class _Own:
    """What is the daemon's own below a root. A walk and a look use it at once, so what is in it never changes."""

    paths: OwnPaths
    below: frozenset[bytes]
    """The directories, by their paths below the root; the walk adds what else turns out to be one of them."""

    def holds(self, path: bytes) -> bool:
        """Whether the path is one of these directories, or lies in one."""
        return any(path == own or path.startswith(own + b"/") for own in self.below)


class _Scan:
    """One walk: a stack of directories still to be listed, and the open descriptors on the way to the current one."""

    def __init__(self, root: Root, route: Route, selection: Selection, entering: Entering | None, own: _Own) -> None:
        self._root = root
        self._own = own
        self._route = route
        self._selection = selection
        self._entering = entering
        self._follows = route.symlinks == "follow_inside"
        self._stack: list[Directory] = []
        self._trail = _Trail(root.descriptor)
        self._batch = Batch()
        self.links: dict[bytes, tuple[bytes, ...]] = {}
        """The symlinks that were followed, by what they lead to."""
        self._seen = 0
        self._too_long = 0

    def run(self, start: bytes) -> Iterator[Batch]:
        """Walk from ``start`` down."""
        self._stack = [] if self._own.holds(start) else [Directory(start)]
        try:
            while self._stack:
                yield from self._list(self._stack.pop())
            yield self._batch
        finally:
            self._trail.close()

    def _list(self, directory: Directory) -> Iterator[Batch]:
        try:
            descriptor = self._open(directory)
            if descriptor is None:
                return
            prefix, self._too_long = directory.prefix, 0
            see = self._see if len(prefix) + _LONGEST_NAME <= MAX_PATH else self._see_if_short
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    see(directory, prefix, entry)
                    self._seen += 1
                    if self._seen % BATCH == 0:
                        batch, self._batch = self._batch, Batch()
                        yield batch
            if self._too_long:
                self._note_too_long(directory)
        except OSError as error:
            self._report(directory.path, error)

    def _open(self, directory: Directory) -> int | None:
        descriptor = self._trail.open(directory.real.path)
        found = os.fstat(descriptor)
        if directory.length and identity_of(found) in self._own.paths.directories:
            self._own.below |= {directory.path}
            return None
        if not self._route.cross_filesystems and found.st_dev != self._root.device:
            reason = "it is on another file system; set cross_filesystems: true to have it walked"
            self._note(directory.path, f"{printable(directory.path)}: {reason}")
            return None
        # Below a followed symlink the directory is watched under its own name already.
        if self._entering is not None and not directory.linked:
            self._entering(directory, descriptor)
        return descriptor

    def _see_if_short(self, directory: Directory, prefix: bytes, entry: os.DirEntry[str]) -> None:
        if len(prefix) + len(entry.name.encode(_ENCODING, _ERRORS)) > MAX_PATH:
            self._too_long += 1
        else:
            self._see(directory, prefix, entry)

    def _note_too_long(self, directory: Directory) -> None:
        """One line for all that is in a directory, however much it is."""
        place = printable(directory.path)
        place = f"{place[:100]}...{place[-100:]}"
        message = f"{place}: paths of {self._too_long:,} names in it are longer than {MAX_PATH:,} bytes; shorten them"
        self._batch.problems.append(ScanProblem(directory.path, message, unreadable=True))

    def _see(self, directory: Directory, prefix: bytes, entry: os.DirEntry[str]) -> None:
        name = entry.name.encode(_ENCODING, _ERRORS)
        path = prefix + name
        try:
            # Files first, and without a name of their own for the place: all but a few entries are files.
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

    def _sight(self, path: bytes, found: os.stat_result) -> None:
        if self._own.paths.logs and identity_of(found) in self._own.paths.logs:
            self._note(path, f"{printable(path)}: it is this program's own log, each line of which would make another")
            return
        self._batch.sightings.append(Sighting(self._route.name, path, Fingerprint.of(found)))

    def _follow(self, link: Directory) -> None:
        """See what a symlink leads to, unless that is outside, nowhere, or around in circles."""
        try:
            target = self._root.resolve(link.path)
            if not target:
                return
            found = self._root.stat(target)
        except FileGoneError:
            return
        except SourceError as error:
            self._note(link.path, str(error))
            return
        if self._own.holds(target):
            return
        if stat.S_ISREG(found.st_mode) and self._selection.takes(link.path):
            self._remember(link, target)
            self._sight(link.path, found)
        # One directory link on a path is enough: links in what a link leads to could go round for ever.
        elif stat.S_ISDIR(found.st_mode) and not link.linked and not link.real.prefix.startswith(target + b"/"):
            self._remember(link, target)
            self._enter(Directory(link.path, Directory(target)))

    def _remember(self, link: Directory, target: bytes) -> None:
        self.links[target] = (*self.links.get(target, ()), link.path)

    def _report(self, path: bytes, error: OSError) -> None:
        # What went or was replaced while we walked is for the next look.
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            message = f"{printable(path) or self._route.path}: {error.strerror}; it is left out until that is mended"
            self._batch.problems.append(ScanProblem(path, message, unreadable=True))

    def _note(self, path: bytes, message: str) -> None:
        self._batch.problems.append(ScanProblem(path, message))


class _Trail:
    """Open descriptors of the last few directories on the way from the root to the current one."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[bytes, int]] = []

    def open(self, path: bytes) -> int:
        """The descriptor of the directory at ``path``, good until the next call. Raises OSError."""
        while self._open and not _leads_to(self._open[-1][0], path):
            os.close(self._open.pop()[1])
        here, descriptor = self._open[-1] if self._open else (b"", self._root)
        for name in path[len(here) :].split(b"/"):
            if name:
                here = _join(here, name)
                descriptor = os.open(name, _LIST, dir_fd=descriptor)
                self._keep(here, descriptor)
        return descriptor

    def _keep(self, path: bytes, descriptor: int) -> None:
        self._open.append((path, descriptor))
        if len(self._open) > _OPEN_AT_ONCE:
            os.close(self._open.pop(0)[1])

    def close(self) -> None:
        """Give all descriptors back."""
        while self._open:
            os.close(self._open.pop()[1])


def _leads_to(ancestor: bytes, path: bytes) -> bool:
    return path == ancestor or path.startswith(ancestor + b"/")
