"""Find routes that may replace each other's objects after the source files are gone."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from pathlib import PurePosixPath
from string import Formatter
from typing import NamedTuple

from crosshaul.config.destination import Destination
from crosshaul.config.directory_nesting import Directories
from crosshaul.config.model import Config
from crosshaul.config.object_place import place_at
from crosshaul.config.route import Route
from crosshaul.model import Place


class _Keys(NamedTuple):
    """The place of a route's keys, and the literal text that all of them begin and end with."""

    route: Route
    root: PurePosixPath
    place: Place
    directory: str
    begin: str
    end: str

    @classmethod
    def of(cls, route: Route, destination: Destination) -> _Keys:
        """Take them from the route's key template."""
        place = place_at(destination.endpoint_url, destination.region, destination.bucket)
        pieces = list(Formatter().parse(route.key.replace("{route}", route.name)))
        directory, _, begin = (destination.key_prefix + pieces[0][0]).rpartition("/")
        end = pieces[-1][0] if pieces[-1][1] is None else ""
        return cls(route, PurePosixPath(route.path), place, directory, begin, end)


def overlaps(config: Config) -> list[str]:
    """Return a warning for each pair of routes with separate directories whose keys in one bucket may be equal.

    While both files exist, equal keys are reported as a conflict; after one file is deleted or moved, the other one
    replaces its object. Pairs that both keep their files are left out. Naming rules of the user are not known here.
    """
    # Only keys below the same literal prefix are compared: a directory that is named like the other prefix is unlikely.
    groups: defaultdict[tuple[Place, str], list[_Keys]] = defaultdict(list)
    for route in config.routes:
        keys = _Keys.of(route, config.destinations[route.destination])
        groups[keys.place, keys.directory].append(keys)
    equal = [pair for group in groups.values() for pair in combinations(group, 2) if _may_replace(*pair)]
    # If the directories are equal or nested, most of the files are the same.
    tree = Directories({keys.root for pair in equal for keys in pair})
    return [_warning(one, other) for one, other in equal if not tree.either_holds(one.root, other.root)]


def _may_replace(one: _Keys, other: _Keys) -> bool:
    if one.route.after_upload.action == other.route.after_upload.action == "keep":
        return False
    if "{sha256}" in one.route.key and "{sha256}" in other.route.key:
        return False
    begin_alike = one.begin.startswith(other.begin) or other.begin.startswith(one.begin)
    return begin_alike and (one.end.endswith(other.end) or other.end.endswith(one.end))


def _warning(one: _Keys, other: _Keys) -> str:
    return (
        f"routes {one.route.name} and {other.route.name} can use the same keys in bucket {one.place.bucket}, and not "
        "both keep their files: one route may replace an object whose source file is gone; "
        "give one destination another key_prefix, or add {route} to key"
    )
