"""Which routes may replace each other's objects, of files that are not there any more to be sent again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations
from string import Formatter

from crosshaul.config.destination import Destination
from crosshaul.config.model import Config
from crosshaul.config.place import place_at
from crosshaul.config.route import Route


def overlaps(config: Config) -> list[str]:
    """A line for each two routes over separate directories whose keys in one bucket may be the same.

    While both files are there that is a conflict, which is told; once one is deleted or moved, the other replaces its
    object. Routes that keep their files are left out, and names that differ by a rule of the user's can't be known.
    """
    return list(_told(config))


def _told(config: Config) -> Iterator[str]:
    for one, other in combinations(config.routes, 2):
        first, second = (config.destinations[each.destination] for each in (one, other))
        keeps = one.after_upload.action == other.after_upload.action == "keep"
        if keeps or _place(first) != _place(second) or _share_files(one, other):
            continue
        if _may_meet(_ends(one, first), _ends(other, second)) and not _both(one, other, "{sha256}"):
            yield (
                f"routes {one.name} and {other.name} put their objects in one place in bucket {first.bucket}, and not "
                "both keep their files: a file replaces the other route's object of the same key, whose source is gone "
                "by then; give one another `key_prefix`, or write {route} in `key`"
            )


def _place(destination: Destination) -> object:
    return place_at(destination.endpoint_url, destination.region, destination.bucket)


def _share_files(one: Route, other: Route) -> bool:
    """Whether one's directory is the other's, or lies in it: then most of their files are the same."""
    first, second = (os.path.join(os.path.realpath(each.path), "") for each in (one, other))  # noqa: PTH118 - the slash
    return first.startswith(second) or second.startswith(first)


def _both(one: Route, other: Route, field: str) -> bool:
    return field in one.key and field in other.key


def _ends(route: Route, destination: Destination) -> tuple[str, str]:
    """What all keys of a route begin and end with."""
    pieces = list(Formatter().parse(route.key.replace("{route}", route.name)))
    tail = pieces[-1][0] if pieces[-1][1] is None else ""
    return destination.key_prefix + pieces[0][0], tail


def _may_meet(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether keys may be the same; that one has a directory called as the other's prefix is not assumed."""
    (head, tail), (other_head, other_tail) = one, other
    (directory, _, begun), (other_directory, _, other_begun) = head.rpartition("/"), other_head.rpartition("/")
    if directory != other_directory or not (begun.startswith(other_begun) or other_begun.startswith(begun)):
        return False
    return tail.endswith(other_tail) or other_tail.endswith(tail)
