"""Find every route that takes a file: its source may go only when all of them have delivered it.

Routes share files where their roots are one directory or lie inside each other, by whatever spelling: symlinks, bind
mounts, another case. So directories are compared by device and inode, from the file's directory up to the top, along
each path that the mounts give it.
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
    """A path in a route that has to be delivered there."""

    route: str
    path: bytes
    marked: bool = False
    """It is another file, whose marker this one is: any state of it will do."""


@dataclass(frozen=True, slots=True)
class FileOwners:
    """The routes that must have delivered one file."""

    places: tuple[RoutePath, ...] = ()
    """Other places where the file is seen."""
    following: tuple[str, ...] = ()
    """Routes that follow symlinks, one of which may lead to it."""
    unwalked: tuple[str, ...] = ()
    """Those of them whose symlinks are not known yet."""


class Ownership:
    """Answers for the configuration that is in force."""

    def __init__(self, config: Callable[[], Config], links: FollowedLinks | None = None) -> None:
        """Without ``links`` no symlink below a root is known, and none is waited for."""
        self._config = config
        self._links = links
        self._seen: dict[str, Identity] = {}
        """Last known device and inode of each route's root: an unmounted root still owns its files."""

    def owners(self, own: Route, paths: Sequence[bytes]) -> list[FileOwners]:
        """Find the other owners of the files at ``paths`` of the route ``own`` (blocking)."""
        config = self._config()
        mounts, top = Mounts(), os.path.realpath(os.fsencode(own.path))
        if len(config.routes) == 1 and own.symlinks == "skip" and not mounts.any_below(top):
            return [FileOwners()] * len(paths)
        asked = _Question(config, self._roots(config.routes), mounts, top, self._links)
        return [asked.owners(own, path) for path in paths]

    def _roots(self, routes: Iterable[Route]) -> dict[str, Identity]:
        for route in routes:
            if (found := identity_at(route.path)) is not None:
                self._seen[route.name] = found
        return {route.name: self._seen[route.name] for route in routes if route.name in self._seen}


class _Seen(NamedTuple):
    """A route's root above a directory: the directory's path below it, and the directories on the way down."""

    route: Route
    path: bytes
    way: tuple[Identity | None, ...]


@dataclass(slots=True)
class _Question:
    """One batch of files of one route: what was found of a directory holds for all files in it."""

    config: Config
    roots: dict[str, Identity]
    mounts: Mounts
    top: bytes
    links: FollowedLinks | None
    identities: dict[bytes, Identity | None] = field(default_factory=dict)
    above: dict[bytes, tuple[_Seen, ...]] = field(default_factory=dict)
    """Each route whose root is a directory or lies above it, whether or not it takes anything there."""
    marked: dict[tuple[str, bytes], dict[bytes, list[bytes]]] = field(default_factory=dict)

    def owners(self, own: Route, path: bytes) -> FileOwners:
        folder, _, name = path.rpartition(b"/")
        if folder not in self.above:
            self.above[folder] = tuple(self._above(_join(self.top, folder)))
        seen = self.above[folder]
        places = dict.fromkeys(place for each in seen for place in self._places(each, name, _join(self.top, folder)))
        places.pop(RoutePath(own.name, path), None)
        routes = {each.route.name: each.route for each in seen if each.route.symlinks == "follow_inside"}
        unwalked = [name for name, route in routes.items() if self.links and self.links.find(route) is None]
        return FileOwners(tuple(places), tuple(routes), tuple(unwalked))

    def _above(self, directory: bytes) -> Iterator[_Seen]:
        """Each route whose root is the directory or lies above it, by one of its names."""
        here = self._identity(directory)
        for name in self.mounts.names(directory):
            if self._identity(name) == here:
                yield from self._above_by(name)

    def _above_by(self, directory: bytes) -> Iterator[_Seen]:
        parts = [part for part in directory.split(b"/") if part]
        chain = [b"/" + b"/".join(parts[:depth]) for depth in range(len(parts) + 1)]
        way = tuple(map(self._identity, chain))
        for route in self.config.routes:
            root = self.roots.get(route.name)
            # One that was never seen may be mounted yet: its name is all there is to go by.
            missing = os.path.realpath(os.fsencode(route.path)) if root is None else None
            for depth, at in enumerate(way):
                if at == root if root is not None else chain[depth] == missing:
                    yield _Seen(route, b"/".join(parts[depth:]), way[depth:])

    def _enters(self, seen: _Seen) -> bool:
        """True if the route's scan comes to the directory."""
        if not seen.route.cross_filesystems and len({at[0] for at in seen.way if at is not None}) > 1:
            return False
        if self._own & set(seen.way[1:]):
            return False
        selection = _selection(seen.route)
        parts = seen.path.split(b"/") if seen.path else []
        return all(selection.enters(b"/".join(parts[: depth + 1])) for depth in range(len(parts)))

    @property
    def _own(self) -> set[Identity | None]:
        """Directories that no route delivers from."""
        own = own_directories(self.config)
        return {at for path in own if (at := self._identity(os.fsencode(path))) is not None}

    def _places(self, seen: _Seen, name: bytes, directory: bytes) -> Iterator[RoutePath]:
        selection, links = _selection(seen.route), self._links_of(seen.route)
        for each in (seen, *_linked(seen, links)):
            if self._enters(each):
                yield from self._places_at(each, name, directory)
        for link in links.get(_join(seen.path, name) if seen.path else name, ()):
            if selection.takes(link):
                yield RoutePath(seen.route.name, link)

    def _links_of(self, route: Route) -> ByTarget:
        known = self.links.find(route) if self.links and route.symlinks == "follow_inside" else None
        return known or {}

    def _places_at(self, seen: _Seen, name: bytes, directory: bytes) -> Iterator[RoutePath]:
        selection, path = _selection(seen.route), _join(seen.path, name) if seen.path else name
        if selection.takes(path):
            yield RoutePath(seen.route.name, path)
        elif selection.is_marker(path):
            for other in self._marked_by(seen, directory).get(path, ()):
                yield RoutePath(seen.route.name, other, marked=True)

    def _marked_by(self, seen: _Seen, directory: bytes) -> dict[bytes, list[bytes]]:
        """Marker -> files of the directory that it speaks of, in a route that waits for markers."""
        key = (seen.route.name, seen.path)
        if key not in self.marked:
            found = self.marked[key] = {}
            marker, selection = Marker(seen.route.settle.marker or ""), _selection(seen.route)
            for entry in _listed(directory):
                path = _join(seen.path, entry) if seen.path else entry
                if selection.takes(path):
                    found.setdefault(marker.of(path), []).append(path)
        return self.marked[key]

    def _identity(self, path: bytes) -> Identity | None:
        if path not in self.identities:
            self.identities[path] = identity_at(path)
        return self.identities[path]


def _linked(seen: _Seen, links: ByTarget) -> Iterator[_Seen]:
    """The same directory by each symlink that leads to it, or to one above it."""
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
