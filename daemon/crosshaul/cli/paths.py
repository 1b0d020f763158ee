"""Maps a local path to its route and its name there, and a record to its local path and its object's address."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosshaul.display import printable

if TYPE_CHECKING:
    from crosshaul.config import Config, Route
    from crosshaul.model import Record


@dataclass(frozen=True, slots=True)
class RoutePosition:
    """A path inside a route; ``relative`` is in the file system's bytes, as the journal has it."""

    route: Route
    relative: bytes

    @property
    def absolute(self) -> bytes:
        """The absolute path."""
        return os.path.join(os.fsencode(self.route.path), self.relative)  # noqa: PTH118 - bytes are no Path

    def __str__(self) -> str:
        return printable(self.absolute)


def locate(config: Config, path: Path) -> RoutePosition:
    """Return the position of an absolute or relative path: in the innermost route that holds it.

    Raises a usage error that names the watched directories if no route holds it.
    """
    for candidate in (Path(os.path.abspath(path)), _resolved(path)):  # noqa: PTH100 - "..", not links, is wanted
        routes = [route for route in config.routes if candidate.is_relative_to(route.path)]
        if routes:
            route = max(routes, key=lambda route: len(route.path.parts))
            return RoutePosition(route, os.fsencode(candidate.relative_to(route.path)))
    roots = ", ".join(f"{printable(route.path)} ({route.name})" for route in config.routes)
    raise click.UsageError(f"{printable(path)} is in no route. The routes' directories are: {roots}.")


def _resolved(path: Path) -> Path:
    """Resolve the links in a path except for its last part, which may be a link that is delivered."""
    return path.parent.resolve() / path.name


def place_of(config: Config, route: str, relative: bytes) -> str:
    """Return a record's local path, printable; relative if its route is no longer configured."""
    roots = {known.name: known for known in config.routes}
    return str(RoutePosition(roots[route], relative)) if route in roots else printable(relative)


def url_of(config: Config, destination: str, key: str) -> str:
    """Return ``s3://BUCKET/KEY`` by the present configuration."""
    return printable(f"s3://{config.destinations[destination].bucket}/{key}")


def url_of_record(record: Record) -> str:
    """Return ``s3://BUCKET/KEY`` as recorded, whatever the present configuration says; ``nowhere`` without a key."""
    if not record.key:
        return "nowhere"
    if record.place is None:
        return printable(f"{record.key} in {record.destination} (the bucket is not recorded)")
    return printable(f"s3://{record.place.bucket}/{record.key}")
