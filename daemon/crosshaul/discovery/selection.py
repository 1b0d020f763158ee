"""Select the paths that a route delivers, by its patterns."""

from __future__ import annotations

from collections.abc import Sequence

from crosshaul.discovery.patterns import spec
from crosshaul.files.marker import Marker
from crosshaul.files.own_paths import REMOVAL_PREFIX


class Selection:
    """A route's gitignore-style patterns. By default they select every file, hidden ones included."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str], marker: str | None) -> None:
        self._include = None if tuple(include) == ("**",) else spec(include)
        self._exclude = spec(exclude) if exclude else None
        # A pattern with "!" may include files again anywhere below an excluded directory.
        self._prunes = not any(line.startswith("!") for line in exclude)
        self._marker = Marker(marker) if marker else None

    def takes(self, path: bytes) -> bool:
        """True if the file at ``path`` is to be delivered."""
        if REMOVAL_PREFIX in path:
            return False  # it is being deleted
        if self._include is None and self._exclude is None:
            return not self.is_marker(path)
        text = path.decode("utf-8", "surrogateescape")
        included = self._include is None or self._include.match_file(text)
        return included and not (self._exclude and self._exclude.match_file(text)) and not self.is_marker(path)

    def enters(self, directory: bytes) -> bool:
        """True if a file below ``directory`` can be selected."""
        if self._exclude is None or not self._prunes:
            return True
        return not self._exclude.match_file(directory.decode("utf-8", "surrogateescape") + "/")

    def is_marker(self, path: bytes) -> bool:
        """True if the file is a marker of another file."""
        return self._marker is not None and self._marker.is_marker(path)
