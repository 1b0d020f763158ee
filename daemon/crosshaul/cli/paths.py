"""Where a local path belongs: its route, and its name there. And where its object lies."""

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
        """The whole path."""
        return os.path.join(os.fsencode(self.route.path), self.relative)  # noqa: PTH118 - bytes are no Path

    def __str__(self) -> str:
        return printable(self.absolute)


def locate(config: Config, path: Path) -> RoutePosition:
    """The place of an absolute or relative path: in the route whose root is the longest that holds it.

    Raises a usage error that names the watched roots, where there is none.
    """
    for candidate in (Path(os.path.abspath(path)), _resolved(path)):  # noqa: PTH100 - "..", not links, is wanted
        routes = [route for route in config.routes if candidate.is_relative_to(route.path)]
        if routes:
            route = max(routes, key=lambda route: len(route.path.parts))
            return RoutePosition(route, os.fsencode(candidate.relative_to(route.path)))
    roots = ", ".join(f"{printable(route.path)} ({route.name})" for route in config.routes)
    raise click.UsageError(f"{printable(path)} is in no route. Watched are: {roots}.")


def _resolved(path: Path) -> Path:
    """The same file by its directory's real name; the last step stays, since it may be a link itself."""
    return path.parent.resolve() / path.name


def place_of(config: Config, route: str, relative: bytes) -> str:
    """A record's local path, for people; of a route that is no longer configured only what the journal has."""
    roots = {known.name: known for known in config.routes}
    return str(RoutePosition(roots[route], relative)) if route in roots else printable(relative)


def url_of(config: Config, destination: str, key: str) -> str:
    """``s3://BUCKET/KEY``, by the configuration."""
    return printable(f"s3://{config.destinations[destination].bucket}/{key}")


def url_of_record(record: Record) -> str:
    """``s3://BUCKET/KEY``, where the record has it, whatever the configuration says by now; or ``nowhere``."""
    if not record.key:
        return "nowhere"
    if record.place is None:
        return printable(f"{record.key} in {record.destination} (which bucket that was is not recorded)")
    return printable(f"s3://{record.place.bucket}/{record.key}")
