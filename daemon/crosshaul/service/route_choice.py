"""Choose the routes of a command by their names."""

from __future__ import annotations

from collections.abc import Sequence

from crosshaul.config import Config, Route
from crosshaul.errors import ConfigError, unknown_name


def chosen_routes(config: Config, names: Sequence[str]) -> tuple[Route, ...]:
    """Return the routes called ``names``, all routes if it is empty. Raises ConfigError for an unknown name."""
    known = {route.name: route for route in config.routes}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError([unknown_name("route", name, known) for name in unknown])
    return tuple(known[name] for name in names) or config.routes
