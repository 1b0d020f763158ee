"""Which routes may replace each other's objects, of files that are not there any more to be sent again."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from pathlib import PurePosixPath
from string import Formatter
from typing import NamedTuple

from crosshaul.config.destination import Destination
from crosshaul.config.directories import Directories
from crosshaul.config.model import Config
from crosshaul.config.route import Route
from crosshaul.model import Place


class _Keys(NamedTuple):
    """The keys of a route: where they are put, and what all of them begin and end with."""

    route: Route
    root: PurePosixPath
    bucket: str
    place: Place
    directory: str
    begun: str
    end: str

    @classmethod
    def of(cls, route: Route, destination: Destination) -> _Keys:
        """Read them off the route's template."""
        pieces = list(Formatter().parse(route.key.replace("{route}", route.name)))
        directory, _, begun = (destination.key_prefix + pieces[0][0]).rpartition("/")
        end = pieces[-1][0] if pieces[-1][1] is None else ""
        return cls(route, PurePosixPath(route.path), destination.bucket, destination.place, directory, begun, end)


def overlaps(config: Config) -> list[str]:
    """A line for each two routes over separate directories whose keys in one bucket may be the same.

    While both files are there that is a conflict, which is told; once one is deleted or moved, the other replaces its
    object. Routes that keep their files are left out, and names that differ by a rule of the user's can't be known.
    """
    # That one has a directory called as the other's prefix is not assumed: keys meet below one directory, if at all.
    groups: defaultdict[tuple[Place, str], list[_Keys]] = defaultdict(list)
    for route in config.routes:
        keys = _Keys.of(route, config.destinations[route.destination])
        groups[keys.place, keys.directory].append(keys)
    meeting = [pair for group in groups.values() for pair in combinations(group, 2) if _may_replace(*pair)]
    # Where one's directory is the other's, or lies in it, most of their files are the same.
    tree = Directories({keys.root for pair in meeting for keys in pair})
    return [_line(one, other) for one, other in meeting if not tree.either_holds(one.root, other.root)]


def _may_replace(one: _Keys, other: _Keys) -> bool:
    if one.route.after_upload.action == other.route.after_upload.action == "keep":
        return False
    if "{sha256}" in one.route.key and "{sha256}" in other.route.key:
        return False
    begin_alike = one.begun.startswith(other.begun) or other.begun.startswith(one.begun)
    return begin_alike and (one.end.endswith(other.end) or other.end.endswith(one.end))


def _line(one: _Keys, other: _Keys) -> str:
    return (
        f"routes {one.route.name} and {other.route.name} put their objects in one place in bucket {one.bucket}, and "
        "not both keep their files: a file replaces the other route's object of the same key, whose source is gone by "
        "then; give one another `key_prefix`, or write {route} in `key`"
    )
