"""Defaults that follow from other keys of the file. Works on values that are not validated yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosshaul.config.rules import is_region


def apply_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Set the name and region of each destination, and the destination of each route when there is only one."""
    destinations, routes = data.get("destinations"), data.get("routes")
    completed = dict(data)
    if isinstance(destinations, dict):
        region = _region(data.get("identity"))
        completed["destinations"] = {name: _destination(name, value, region) for name, value in destinations.items()}
    if isinstance(routes, (list, tuple)):
        only = (
            {"destination": next(iter(destinations))}
            if isinstance(destinations, dict) and len(destinations) == 1
            else {}
        )
        completed["routes"] = [{**only, **route} if isinstance(route, dict) else route for route in routes]
    return completed


def _region(identity: object) -> Mapping[str, str]:
    region = identity.get("region") if isinstance(identity, dict) else getattr(identity, "region", None)
    return {"region": region} if isinstance(region, str) and is_region(region) else {}


def _destination(name: str, value: object, region: Mapping[str, str]) -> object:
    return {**region, **value, "name": name} if isinstance(value, dict) else value
