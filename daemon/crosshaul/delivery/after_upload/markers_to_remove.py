"""Find the markers that are deleted or moved together with their delivered files. Blocking."""

from __future__ import annotations

from collections.abc import Sequence

from crosshaul.config import Route
from crosshaul.errors import SourceError
from crosshaul.files.marker import Marker
from crosshaul.files.root import Root
from crosshaul.model import AfterTask, Fingerprint


class SourceMarkers:
    """The markers of one route's files; none if the route has no marker."""

    def __init__(self, route: Route) -> None:
        self._marker = Marker(route.settle.marker) if route.settle.marker else None

    def find(self, root: Root, task: AfterTask) -> tuple[bytes, Fingerprint] | None:
        """Return the path and fingerprint of a file's marker; None if there is none."""
        if self._marker is None:
            return None
        path = self._marker.of(task.path)
        try:
            return path, Fingerprint.of(root.stat(path))
        except SourceError:
            return None

    def find_all(self, root: Root, tasks: Sequence[AfterTask]) -> list[tuple[AfterTask, bytes, Fingerprint]]:
        """Return the markers of ``tasks`` that exist, each with its task."""
        if self._marker is None:
            return []
        return [(task, *marker) for task in tasks if (marker := self.find(root, task)) is not None]
