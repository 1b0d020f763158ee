"""The target of a route's files: the part of the configuration that records depend on."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A bucket of a store. Two destinations of the configuration may be one place."""

    endpoint: str
    """The store's address, or the AWS partition (``aws``), in which the names of buckets are unique."""
    bucket: str


class PlanId(NamedTuple):
    """The journal's number for a ``RoutePlan``, and for its place; 0 = unknown."""

    id: int = 0
    place: int = 0
    by_content: bool = False
    """The key contains the content's hash: files with the same key are equal, and share it."""


NO_PLAN = PlanId()


class RoutePlan(NamedTuple):
    """The part of the configuration that decides whether and where a route's files go."""

    route: str
    destination: str
    place: Place
    root: bytes
    """The watched directory."""
    digest: str
    """A hash of everything that decides where a file goes, or whether."""
    by_content: bool
