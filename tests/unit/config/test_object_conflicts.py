"""Warnings about routes that may replace each other's objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crosshaul.config import load, overlaps

DELETE = {"after_upload": "delete"}
MEET: list[tuple[dict[str, str], dict[str, str], dict[str, str]]] = [
    ({}, DELETE, {}),
    (DELETE, DELETE, {}),
    ({**DELETE, "key": "{name}"}, {"key": "a-{name}"}, {}),
    (DELETE, {"destination": "same"}, {}),
]
APART = [
    ({}, {}, {}),
    (DELETE, DELETE, {"key_prefix": "two/"}),
    (DELETE, {"destination": "elsewhere"}, {}),
    (DELETE, {"path": "one/sub", "key": "sub/{path}"}, {}),
    ({**DELETE, "key": "{name}"}, {"key": "in/{name}"}, {}),
    ({**DELETE, "key": "{route}/{path}"}, {"key": "{route}/{path}"}, {}),
    ({**DELETE, "key": "{stem}.a"}, {"key": "{stem}.b"}, {}),
    ({**DELETE, "key": "{sha256}"}, {"key": "{sha256}"}, {}),
]


def output(directory: Path, one: dict[str, Any], other: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the warnings for two routes; with ``second`` the second one has its own destination."""
    routes = [
        {"name": name, "destination": destination, "path": name} | route
        for name, destination, route in (("one", "partner", one), ("two", "second", other))
    ]
    for route in routes:
        route["path"] = str(directory / route["path"])
    destinations = {
        "partner": {"bucket": "inbox"},
        "same": {"bucket": "inbox", "endpoint_url": "https://s3.us-east-1.amazonaws.com"},
        "second": {"bucket": "inbox"} | second,
        "elsewhere": {"bucket": "other"},
    }
    file = directory / "config.yaml"
    config = {"state_dir": str(directory / "state"), "destinations": destinations, "routes": routes}
    file.write_text(json.dumps(config))
    return overlaps(load(file))


@pytest.mark.parametrize(("one", "other", "second"), MEET)
def test_routes_whose_keys_may_meet_are_named(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], second: dict[str, Any]
) -> None:
    """If one route deletes and another may use the freed key, a line has both names and the remedy."""
    (line,) = output(tmp_path, one, other, second)
    assert line.startswith("routes one and two can use the same keys in bucket inbox")
    assert "give one destination another key_prefix" in line


@pytest.mark.parametrize(("one", "other", "second"), APART)
def test_routes_that_keep_apart_are_not_spoken_of(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], second: dict[str, Any]
) -> None:
    """There is no warning if sources stay, keys or places differ, it is one tree, or equal keys mean equal bytes."""
    assert output(tmp_path, one, other, second) == []
