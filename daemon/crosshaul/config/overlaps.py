"""Find routes that may replace each other's objects after the source files are gone."""

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
    """Return a warning for each pair of routes with separate directories whose keys in one bucket may be equal.

    While both files exist, equal keys are reported as a conflict; after one file is deleted or moved, the other one
    replaces its object. Pairs that both keep their files are left out. Naming rules of the user are not known here.
    """
    return list(_warnings(config))


def _warnings(config: Config) -> Iterator[str]:
    for one, other in combinations(config.routes, 2):
        first, second = (config.destinations[route.destination] for route in (one, other))
        keeps = one.after_upload.action == other.after_upload.action == "keep"
        if keeps or _place(first) != _place(second) or _share_files(one, other):
            continue
        if _may_be_equal(_literal_ends(one, first), _literal_ends(other, second)) and not _both_contain(
            one, other, "{sha256}"
        ):
            yield (
                f"routes {one.name} and {other.name} can use the same keys in bucket {first.bucket}, and not both "
                "keep their files: one route may replace an object whose source file is gone; "
                "give one destination another key_prefix, or add {route} to key"
            )


def _place(destination: Destination) -> object:
    return place_at(destination.endpoint_url, destination.region, destination.bucket)


def _share_files(one: Route, other: Route) -> bool:
    """True if the directories are equal or nested, so that most of the files are the same."""
    first, second = (os.path.join(os.path.realpath(route.path), "") for route in (one, other))  # noqa: PTH118 - the slash
    return first.startswith(second) or second.startswith(first)


def _both_contain(one: Route, other: Route, field: str) -> bool:
    return field in one.key and field in other.key


def _literal_ends(route: Route, destination: Destination) -> tuple[str, str]:
    """Return the common beginning and end of all keys of a route."""
    pieces = list(Formatter().parse(route.key.replace("{route}", route.name)))
    tail = pieces[-1][0] if pieces[-1][1] is None else ""
    return destination.key_prefix + pieces[0][0], tail


def _may_be_equal(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """True if keys may be equal; a directory that is named like the other prefix is not expected."""
    (head, tail), (other_head, other_tail) = one, other
    (directory, _, begun), (other_directory, _, other_begun) = head.rpartition("/"), other_head.rpartition("/")
    if directory != other_directory or not (begun.startswith(other_begun) or other_begun.startswith(begun)):
        return False
    return tail.endswith(other_tail) or other_tail.endswith(tail)
