"""Where the symlinks lead that a route follows, as its walks saw them: another way to the files of a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crosshaul.config import Route

ByTarget = Mapping[bytes, tuple[bytes, ...]]
"""The paths of the links, by what they lead to; all relative to the route's root."""


class FollowedLinks:
    """What is known of all routes. Threads that walk write it, and those that delete read it: no entry ever changes."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, Path], ByTarget] = {}

    def walked(self, route: Route, found: ByTarget) -> None:
        """All of the tree was walked, and these are there."""
        self._of[route.name, route.path] = found

    def seen(self, route: Route, found: ByTarget) -> None:
        """These are there, too."""
        if found and (known := self._of.get((route.name, route.path))) is not None:
            more = {target: (*dict.fromkeys((*known.get(target, ()), *links)),) for target, links in found.items()}
            self._of[route.name, route.path] = {**known, **more}

    def known(self, route: Route) -> ByTarget | None:
        """Those of a route; None if its tree was not walked yet."""
        return self._of.get((route.name, route.path))
