"""Loads the SQL statements from ``queries/*.sql``, where ``-- name: foo`` starts each statement."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

_MARK = "-- name: "


def load() -> Mapping[str, str]:
    """Return all statements by name; raises ValueError if a name occurs twice."""
    statements: dict[str, str] = {}
    for file in sorted(resources.files(__package__).joinpath("queries").iterdir(), key=lambda entry: entry.name):
        for block in file.read_text(encoding="utf-8").split(_MARK)[1:]:
            name, _, statement = block.partition("\n")
            if name.strip() in statements:
                raise ValueError(f"{file.name}: the query {name.strip()} occurs twice")
            statements[name.strip()] = statement.strip()
    return statements


SQL = load()
