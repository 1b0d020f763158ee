"""What no section can see by itself: names that must exist or be unique, and directories inside each other.

Works on the file's plain values, so that these faults are found beside any others. Directories that exist are compared
by device and inode besides: symlinks and bind mounts give one directory several names.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import combinations
from pathlib import PurePosixPath

from crosshaul.config.directories import Directories
from crosshaul.config.place import place_at
from crosshaul.config.yaml_document import Location, Value

Fault = tuple[Location, str]
_DEFAULTS: dict[str, Value] = {"destination": None, "key": "{path}", "include": ["**"], "exclude": []}


def cross_faults(root: dict[str, Value]) -> list[Fault]:
    """Every fault between sections."""
    raw = root.get("routes")
    routes = (
        [(index, route) for index, route in enumerate(raw) if isinstance(route, dict)] if isinstance(raw, list) else []
    )
    destinations = root.get("destinations")
    known = destinations if isinstance(destinations, dict) else {}
    state_dir = _path(root, "state_dir")
    tree = Directories({path for path in (state_dir, *_directories_of(routes)) if path is not None})
    return [
        *_named_destinations(known),
        *(fault for index, route in routes for fault in _destination_faults(index, route, known)),
        *(fault for one, other in combinations(routes, 2) for fault in _pair_faults(one, other, known, tree)),
        *(fault for index, route in routes for fault in _directory_faults(index, route, routes, tree)),
        *_state_dir_faults(state_dir, routes, tree),
    ]


def _directories_of(routes: list[tuple[int, dict[str, Value]]]) -> Iterator[PurePosixPath | None]:
    for _, route in routes:
        yield _path(route, "path")
        after = route.get("after_upload")
        yield _path(after, "move_to") if isinstance(after, dict) else None


def _named_destinations(destinations: dict[str, Value]) -> Iterator[Fault]:
    for name, destination in destinations.items():
        if isinstance(destination, dict) and "name" in destination:
            yield (
                ("destinations", name, "name"),
                f"unknown key; a destination's name is the key above it, {name}; remove it",
            )


def _destination_faults(index: int, route: dict[str, Value], known: dict[str, Value]) -> Iterator[Fault]:
    wanted = route.get("destination")
    if isinstance(wanted, str) and known and wanted not in known:
        close = get_close_matches(wanted, known, 1)
        cure = f"write {close[0]}" if close else "write one of " + ", ".join(known)
        yield ("routes", index, "destination"), f"no destination is called {wanted!r}; {cure}"


def _pair_faults(
    one: tuple[int, dict[str, Value]],
    other: tuple[int, dict[str, Value]],
    destinations: dict[str, Value],
    tree: Directories,
) -> Iterator[Fault]:
    (first, outer), (second, inner) = one, other
    if outer.get("name") == inner.get("name") and isinstance(outer.get("name"), str):
        yield ("routes", second, "name"), f"routes[{first}] is called {outer['name']!r} too; write another name"
    above, below = _path(outer, "path"), _path(inner, "path")
    if above is None or below is None or not (tree.holds(above, below) or tree.holds(below, above)):
        return
    if _same_objects(outer, inner, destinations):
        same = tree.holds(above, below) and tree.holds(below, above)
        relation = "the same directory as" if same else "in one tree with"
        message = f"it is {relation} routes[{first}].path, and every file in both would go twice to the same place"
        yield ("routes", second, "path"), f"{message}; give one of them another key, destination or exclude"


def _same_objects(one: dict[str, Value], other: dict[str, Value], destinations: dict[str, Value]) -> bool:
    """Whether two routes would put the same files, by the same rule, in one place, whatever its names are."""
    rules = [
        {**_DEFAULTS, **{key: value for key, value in route.items() if key in _DEFAULTS}} for route in (one, other)
    ]
    for rule in rules:
        rule["destination"] = _prefix_of(destinations.get(str(rule["destination"])), rule["destination"])
    return rules[0] == rules[1] and "{route}" not in str(rules[0]["key"])


def _prefix_of(destination: Value, name: Value) -> Value:
    """A destination's place and prefix; its name, where it is not written so that they can be told."""
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


def _directory_faults(
    index: int, route: dict[str, Value], routes: list[tuple[int, dict[str, Value]]], tree: Directories
) -> Iterator[Fault]:
    after = route.get("after_upload")
    target = _path(after, "move_to") if isinstance(after, dict) else None
    for other, watched in routes:
        root = _path(watched, "path")
        if target is not None and root is not None and tree.holds(target, root) and tree.holds(root, target):
            message = f"it is itself watched, by routes[{other}]; write another directory, which may lie inside"
            yield ("routes", index, "after_upload", "move_to"), message


def _state_dir_faults(
    state: PurePosixPath | None, routes: list[tuple[int, dict[str, Value]]], tree: Directories
) -> Iterator[Fault]:
    for index, route in routes:
        watched = _path(route, "path")
        if state is not None and watched is not None and tree.holds(watched, state):
            message = (
                f"it lies in routes[{index}].path, and the journal would be delivered; write a directory outside it"
            )
            yield ("state_dir",), message


def _path(section: dict[str, Value], key: str) -> PurePosixPath | None:
    value = section.get(key)
    return PurePosixPath(value) if isinstance(value, str) and value.startswith("/") and "\0" not in value else None
