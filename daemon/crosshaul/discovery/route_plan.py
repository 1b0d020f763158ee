"""Combine the settings that decide if and where a route's files are sent. A change of one judges all files again."""

from __future__ import annotations

import hashlib
import json
import os

from crosshaul.config import Config, Destination, Route
from crosshaul.keys import Template
from crosshaul.model import Place, RoutePlan

_RULES = 1
"""Version of the code that makes keys and selects files; a change of that code increments it."""


def plan_of(route: Route, destination: Destination, hostname: str) -> RoutePlan:
    """Return the plan of a route. It contains ``hostname`` only if the keys do."""
    template = Template.parse(route.key)
    decides = {
        "rules": _RULES,
        "path": os.fsencode(route.path).hex(),
        "destination": destination.name,
        "place": destination.place,
        "key_prefix": destination.key_prefix,
        "key": route.key,
        "include": route.include,
        "exclude": route.exclude,
        "marker": route.settle.marker,
        "symlinks": route.symlinks,
        "cross_filesystems": route.cross_filesystems,
        "hostname": hostname if template.needs_hostname else None,
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
    root = os.fsencode(route.path)
    return RoutePlan(route.name, destination.name, destination.place, root, digest, template.needs_sha256)


def plans_of(config: Config, hostname: str) -> list[RoutePlan]:
    """Return the plans of all routes."""
    return [plan_of(route, config.destinations[route.destination], hostname) for route in config.routes]


def places_of(config: Config) -> dict[str, Place]:
    """Return the places of all destinations, by name."""
    return {name: destination.place for name, destination in config.destinations.items()}
