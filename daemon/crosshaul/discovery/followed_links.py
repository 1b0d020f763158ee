"""Targets of the symlinks that routes follow, as their scans found them: further paths to a directory's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crosshaul.config import Route

ByTarget = Mapping[bytes, tuple[bytes, ...]]
"""The paths of the links by their target; all relative to the route's root."""


class FollowedLinks:
    """The links of all routes. Threads that scan write it and others read it, so entries are never modified."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, Path], ByTarget] = {}

    def replace(self, route: Route, links: ByTarget) -> None:
        """Set the links that a full scan found."""
        self._routes[route.name, route.path] = links

    def add(self, route: Route, links: ByTarget) -> None:
        """Add links to those of the last full scan."""
        if links and (known := self._routes.get((route.name, route.path))) is not None:
            more = {target: (*dict.fromkeys((*known.get(target, ()), *paths)),) for target, paths in links.items()}
            self._routes[route.name, route.path] = {**known, **more}

    def find(self, route: Route) -> ByTarget | None:
        """Return the links of a route; None before its first full scan."""
        return self._routes.get((route.name, route.path))
