"""What the file may leave out because something else in it says so. Works on values that nothing has checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosshaul.config.rules import is_region


def filled_in(data: dict[str, Any]) -> dict[str, Any]:
    """Give each destination its name and region, and each route the destination where there is only one."""
    destinations, routes = data.get("destinations"), data.get("routes")
    filled = dict(data)
    if isinstance(destinations, dict):
        region = _region(data.get("identity"))
        filled["destinations"] = {name: _destination(name, value, region) for name, value in destinations.items()}
    if isinstance(routes, (list, tuple)):
        sole = (
            {"destination": next(iter(destinations))}
            if isinstance(destinations, dict) and len(destinations) == 1
            else {}
        )
        filled["routes"] = [{**sole, **route} if isinstance(route, dict) else route for route in routes]
    return filled


def _region(identity: object) -> Mapping[str, str]:
    region = identity.get("region") if isinstance(identity, dict) else getattr(identity, "region", None)
    return {"region": region} if isinstance(region, str) and is_region(region) else {}


def _destination(name: str, value: object, region: Mapping[str, str]) -> object:
    return {**region, **value, "name": name} if isinstance(value, dict) else value
