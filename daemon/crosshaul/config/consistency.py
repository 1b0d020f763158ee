"""Check the consistency of several sections: references, unique names, and nested directories.

The checks run on the plain values of the file, so that their errors are reported together with all others. Directories
are compared by device and inode too, because symlinks and bind mounts give a directory several names.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import PurePosixPath

from crosshaul.config.directory_nesting import Directories
from crosshaul.config.object_place import place_at
from crosshaul.config.yaml_document import Location, Value
from crosshaul.errors import unknown_name

LocatedMessage = tuple[Location, str]
_DEFAULTS: dict[str, Value] = {"destination": None, "key": "{path}", "include": ["**"], "exclude": []}


def consistency_errors(root: dict[str, Value]) -> list[LocatedMessage]:
    """Return all errors between sections."""
    raw = root.get("routes")
    routes = (
        [(index, route) for index, route in enumerate(raw) if isinstance(route, dict)] if isinstance(raw, list) else []
    )
    destinations = root.get("destinations")
    known = destinations if isinstance(destinations, dict) else {}
    state_dir = _path(root, "state_dir")
    tree = Directories({path for path in (state_dir, *_directories_of(routes)) if path is not None})
    return [
        *_destination_name_errors(known),
        *(error for index, route in routes for error in _destination_errors(index, route, known)),
        *(error for one, other in combinations(routes, 2) for error in _pair_errors(one, other, known, tree)),
        *(error for index, route in routes for error in _move_target_errors(index, route, routes, tree)),
        *_state_dir_errors(state_dir, routes, tree),
    ]


def _directories_of(routes: list[tuple[int, dict[str, Value]]]) -> Iterator[PurePosixPath | None]:
    for _, route in routes:
        yield _path(route, "path")
        after = route.get("after_upload")
        yield _path(after, "move_to") if isinstance(after, dict) else None


def _destination_name_errors(destinations: dict[str, Value]) -> Iterator[LocatedMessage]:
    for name, destination in destinations.items():
        if isinstance(destination, dict) and "name" in destination:
            yield (
                ("destinations", name, "name"),
                f"unknown key; the name of the destination is the key above, {name}; remove this one",
            )


def _destination_errors(index: int, route: dict[str, Value], known: dict[str, Value]) -> Iterator[LocatedMessage]:
    wanted = route.get("destination")
    if isinstance(wanted, str) and known and wanted not in known:
        yield ("routes", index, "destination"), unknown_name("destination", wanted, known)


def _pair_errors(
    one: tuple[int, dict[str, Value]],
    other: tuple[int, dict[str, Value]],
    destinations: dict[str, Value],
    tree: Directories,
) -> Iterator[LocatedMessage]:
    (first, outer), (second, inner) = one, other
    if outer.get("name") == inner.get("name") and isinstance(outer.get("name"), str):
        yield ("routes", second, "name"), f"routes[{first}] has the name {outer['name']!r} too; write another name"
    above, below = _path(outer, "path"), _path(inner, "path")
    if above is None or below is None or not tree.either_holds(above, below):
        return
    if _same_objects(outer, inner, destinations):
        same = tree.holds(above, below) and tree.holds(below, above)
        relation = "the same directory as" if same else "nested with"
        message = f"{relation} routes[{first}].path, so that files would be uploaded twice to the same key"
        yield ("routes", second, "path"), f"{message}; give one route another key, destination or exclude"


def _same_objects(one: dict[str, Value], other: dict[str, Value], destinations: dict[str, Value]) -> bool:
    """True if two routes use the same keys in the same place for the same files."""
    rules = [
        {**_DEFAULTS, **{key: value for key, value in route.items() if key in _DEFAULTS}} for route in (one, other)
    ]
    for rule in rules:
        rule["destination"] = _place_and_prefix(destinations.get(str(rule["destination"])), rule["destination"])
    return rules[0] == rules[1] and "{route}" not in str(rules[0]["key"])


def _place_and_prefix(destination: Value, name: Value) -> Value:
    """Return the place and prefix of a destination; its name when they are not valid."""
    if not isinstance(destination, dict):
        return name
    endpoint, bucket = destination.get("endpoint_url"), destination.get("bucket")
    region, prefix = destination.get("region") or "us-east-1", destination.get("key_prefix") or ""
    if not (isinstance(bucket, str) and isinstance(region, str) and isinstance(prefix, str)):
        return name
    try:
        place = place_at(endpoint if isinstance(endpoint, str) else None, region, bucket)
    except ValueError:
        return name
    return [*place, prefix.rstrip("/")]


def _move_target_errors(
    index: int, route: dict[str, Value], routes: list[tuple[int, dict[str, Value]]], tree: Directories
) -> Iterator[LocatedMessage]:
    after = route.get("after_upload")
    target = _path(after, "move_to") if isinstance(after, dict) else None
    for other, watched in routes:
        root = _path(watched, "path")
        if target is not None and root is not None and tree.holds(target, root) and tree.holds(root, target):
            message = f"is watched by routes[{other}]; write another directory, which may be inside it"
            yield ("routes", index, "after_upload", "move_to"), message


def _state_dir_errors(
    state: PurePosixPath | None, routes: list[tuple[int, dict[str, Value]]], tree: Directories
) -> Iterator[LocatedMessage]:
    for index, route in routes:
        watched = _path(route, "path")
        if state is not None and watched is not None and tree.holds(watched, state):
            message = f"is inside routes[{index}].path, so that the journal would be delivered; write another directory"
            yield ("state_dir",), message


def _path(section: dict[str, Value], key: str) -> PurePosixPath | None:
    value = section.get(key)
    return PurePosixPath(value) if isinstance(value, str) and value.startswith("/") and "\0" not in value else None
