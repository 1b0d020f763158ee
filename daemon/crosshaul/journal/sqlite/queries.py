"""Loads the SQL, which lives in files of its own: ``-- name: foo`` starts each statement."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

_MARK = "-- name: "


def load() -> Mapping[str, str]:
    """Every named statement of ``queries/*.sql``; raises ValueError if a name stands there twice."""
    found: dict[str, str] = {}
    for file in sorted(resources.files(__package__).joinpath("queries").iterdir(), key=lambda entry: entry.name):
        for block in file.read_text(encoding="utf-8").split(_MARK)[1:]:
            name, _, statement = block.partition("\n")
            if name.strip() in found:
                raise ValueError(f"{file.name}: the query {name.strip()} stands there twice")
            found[name.strip()] = statement.strip()
    return found


SQL = load()
