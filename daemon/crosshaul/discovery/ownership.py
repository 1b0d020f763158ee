"""Find every route that delivers a file: its source may be removed only when all of them have delivered it.

Routes share files if their roots are one directory, or if one lies inside the other. Paths can't show this: symlinks,
bind mounts and names in another case are further paths to one directory. Therefore each directory from the file's up
to ``/`` is compared with the roots by device and inode, along each path that the mounts give it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from crosshaul.config import Config, Route
from crosshaul.discovery.followed_links import ByTarget, FollowedLinks
from crosshaul.discovery.selection import Selection
from crosshaul.files.bind_mounts import Mounts
from crosshaul.files.marker import Marker
from crosshaul.files.own_paths import Identity, identity_at, own_directories


class RoutePath(NamedTuple):
    """A route, and the path below its root of a file that it delivers."""

    route: str
    path: bytes
    marked: bool = False
    """The file at ``path`` is another one, of which the file in question is the marker. Any delivered state counts."""


@dataclass(frozen=True, slots=True)
class FileOwners:
    """The routes that must have delivered one file."""

    places: tuple[RoutePath, ...] = ()
    """The other routes of the file, each with its path there."""
    following: tuple[str, ...] = ()
    """Routes that follow symlinks, which may lead to the file."""
    unscanned: tuple[str, ...] = ()
    """Those routes of ``following`` whose symlinks are not known before their first scan."""


class Ownership:
    """Finds the owners of files under the present configuration."""

    def __init__(self, config: Callable[[], Config], links: FollowedLinks | None = None) -> None:
        """Without ``links``, symlinks below the roots are ignored."""
        self._config = config
        self._links = links
        self._last_known: dict[str, Identity] = {}
        """Last known device and inode of each route's root: an unmounted root still owns its files."""

    def owners(self, own: Route, paths: Sequence[bytes]) -> list[FileOwners]:
        """Find the other owners of the files at ``paths`` of the route ``own`` (blocking)."""
        config = self._config()
        mounts, top = Mounts(), os.path.realpath(os.fsencode(own.path))
        if len(config.routes) == 1 and own.symlinks == "skip" and not mounts.any_below(top):
            return [FileOwners()] * len(paths)
        lookup = _OwnerLookup(config, self._roots(config.routes), mounts, top, self._links)
        return [lookup.owners(own, path) for path in paths]

    def _roots(self, routes: Iterable[Route]) -> dict[str, Identity]:
        for route in routes:
            if (identity := identity_at(route.path)) is not None:
                self._last_known[route.name] = identity
        return {route.name: self._last_known[route.name] for route in routes if route.name in self._last_known}


class _DirectoryInRoute(NamedTuple):
    """A directory at or below a route's root."""

    route: Route
    path: bytes
    """The directory's path below the root."""
    identities: tuple[Identity | None, ...]
    """The directories from the root down to this one."""


@dataclass(slots=True)
class _OwnerLookup:
    """One look-up for a batch of files of one route. Results for a directory are kept for all files in it."""

    config: Config
    roots: dict[str, Identity]
    mounts: Mounts
    top: bytes
    links: FollowedLinks | None
    identities: dict[bytes, Identity | None] = field(default_factory=dict)
    above: dict[bytes, tuple[_DirectoryInRoute, ...]] = field(default_factory=dict)
    """By directory: all routes whose root is the directory or lies above it, even if they select no file in it."""
    marked: dict[tuple[str, bytes], dict[bytes, list[bytes]]] = field(default_factory=dict)

    def owners(self, own: Route, path: bytes) -> FileOwners:
        folder, _, name = path.rpartition(b"/")
        if folder not in self.above:
            self.above[folder] = tuple(self._above(_join(self.top, folder)))
        above = self.above[folder]
        places = dict.fromkeys(place for one in above for place in self._places(one, name, _join(self.top, folder)))
        places.pop(RoutePath(own.name, path), None)
        routes = {one.route.name: one.route for one in above if one.route.symlinks == "follow_inside"}
        unscanned = [name for name, route in routes.items() if self.links and self.links.find(route) is None]
        return FileOwners(tuple(places), tuple(routes), tuple(unscanned))

    def _above(self, directory: bytes) -> Iterator[_DirectoryInRoute]:
        """Yield each route whose root is the directory or lies above it, along all paths of the directory."""
        here = self._identity(directory)
        for name in self.mounts.names(directory):
            if self._identity(name) == here:
                yield from self._above_by(name)

    def _above_by(self, directory: bytes) -> Iterator[_DirectoryInRoute]:
        parts = [part for part in directory.split(b"/") if part]
        ancestors = [b"/" + b"/".join(parts[:depth]) for depth in range(len(parts) + 1)]
        identities = tuple(map(self._identity, ancestors))
        for route in self.config.routes:
            root = self.roots.get(route.name)
            # A root that has never existed may be mounted later: only its path can be compared.
            missing = os.path.realpath(os.fsencode(route.path)) if root is None else None
            for depth, identity in enumerate(identities):
                if identity == root if root is not None else ancestors[depth] == missing:
                    yield _DirectoryInRoute(route, b"/".join(parts[depth:]), identities[depth:])

    def _enters(self, directory: _DirectoryInRoute) -> bool:
        """True if the route's scan enters the directory."""
        devices = {identity[0] for identity in directory.identities if identity is not None}
        if not directory.route.cross_filesystems and len(devices) > 1:
            return False
        if self._own & set(directory.identities[1:]):
            return False
        selection = _selection(directory.route)
        parts = directory.path.split(b"/") if directory.path else []
        return all(selection.enters(b"/".join(parts[: depth + 1])) for depth in range(len(parts)))

    @property
    def _own(self) -> set[Identity | None]:
        """The daemon's own directories, which no route delivers from."""
        own = own_directories(self.config)
        return {identity for path in own if (identity := self._identity(os.fsencode(path))) is not None}

    def _places(self, seen: _DirectoryInRoute, name: bytes, directory: bytes) -> Iterator[RoutePath]:
        selection, links = _selection(seen.route), self._links_of(seen.route)
        for one in (seen, *_linked(seen, links)):
            if self._enters(one):
                yield from self._places_at(one, name, directory)
        for link in links.get(_join(seen.path, name) if seen.path else name, ()):
            if selection.takes(link):
                yield RoutePath(seen.route.name, link)

    def _links_of(self, route: Route) -> ByTarget:
        links = self.links.find(route) if self.links and route.symlinks == "follow_inside" else None
        return links or {}

    def _places_at(self, seen: _DirectoryInRoute, name: bytes, directory: bytes) -> Iterator[RoutePath]:
        selection, path = _selection(seen.route), _join(seen.path, name) if seen.path else name
        if selection.takes(path):
            yield RoutePath(seen.route.name, path)
        elif selection.is_marker(path):
            for other in self._marked_by(seen, directory).get(path, ()):
                yield RoutePath(seen.route.name, other, marked=True)

    def _marked_by(self, seen: _DirectoryInRoute, directory: bytes) -> dict[bytes, list[bytes]]:
        """Return the files of the directory by their marker, for a route that waits for markers."""
        key = (seen.route.name, seen.path)
        if key not in self.marked:
            by_marker = self.marked[key] = {}
            marker, selection = Marker(seen.route.settle.marker or ""), _selection(seen.route)
            for entry in _listed(directory):
                path = _join(seen.path, entry) if seen.path else entry
                if selection.takes(path):
                    by_marker.setdefault(marker.of(path), []).append(path)
        return self.marked[key]

    def _identity(self, path: bytes) -> Identity | None:
        if path not in self.identities:
            self.identities[path] = identity_at(path)
        return self.identities[path]


def _linked(seen: _DirectoryInRoute, links: ByTarget) -> Iterator[_DirectoryInRoute]:
    """Yield the directory at each path that a followed symlink gives it: a link to it, or to a directory above it."""
    parts = seen.path.split(b"/") if links and seen.path else []
    for depth in range(1, len(parts) + 1):
        for link in links.get(b"/".join(parts[:depth]), ()):
            yield seen._replace(path=b"/".join((link, *parts[depth:])))


@lru_cache(maxsize=256)
def _selection_of(include: tuple[str, ...], exclude: tuple[str, ...], marker: str | None) -> Selection:
    return Selection(include, exclude, marker)


def _selection(route: Route) -> Selection:
    return _selection_of(route.include, route.exclude, route.settle.marker)


def _listed(directory: bytes) -> list[bytes]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - bytes are no Path
    except OSError:
        return []


def _join(directory: bytes, name: bytes) -> bytes:
    return directory.rstrip(b"/") + b"/" + name if name else directory
