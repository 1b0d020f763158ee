"""docs/LOGS.md lists every event that the daemon logs, with its level and fields."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import crosshaul
from support.system_fixtures import until

SOURCE = Path(crosshaul.__file__).parent
PAGE = SOURCE.parents[1] / "docs/LOGS.md"
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
EVERY_LINE = {"timestamp", "level", "logger", "event", "destination", "route"}


def documented():
    """Return levels and fields by event, as on the page."""
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    return {event: (set(levels.split(", ")), set(re.findall(r"`(\w+)`", fields))) for event, levels, fields in rows}


def logged():
    """Yield event, level and fields of every logger call in the source."""
    yield "log_lines_dropped", "warning", {"lines"}  # logged by the log itself, without a logger
    for file in SOURCE.rglob("*.py"):
        if file.parent.name != "partner":
            nodes = list(ast.walk(ast.parse(file.read_text())))
            yield from filter(None, map(_event, nodes))
            yield from (found for node in nodes for found in _streak(node))


def _event(node):
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
        return None
    name, event = ast.unparse(node.func), node.args[0].value
    method = name.rpartition(".")[2]
    of_logger = re.search(r"(^|[._])log\.|logs\.get\(", name) and method in LEVELS
    if not (of_logger or name == "say") or not re.fullmatch(r"\w+", str(event)):
        return None  # the demo prints sentences
    fields = {each.arg for each in node.keywords if each.arg}
    return event, LEVELS.get(method), {"exception" if each == "exc_info" else each for each in fields}


def _streak(node):
    """Yield the two events of a ``FailureStreak.log_outage``."""
    if isinstance(node, ast.Call) and {"failed", "recovered"} <= {each.arg for each in node.keywords}:
        names = {each.arg: ast.literal_eval(each.value) for each in node.keywords}
        yield names["failed"], "warning", {"reason", "failures"}
        yield names["recovered"], "info", {"failures"}


def test_the_page_lists_every_event_and_no_other():
    """The page and the code have the same events."""
    assert {event for event, _, _ in logged()} == set(documented())
    assert len(documented()) > 30


def test_levels_and_fields_are_those_of_the_code():
    """Each call's level and fields are on the page."""
    page = documented()
    for event, level, fields in logged():
        levels, known = page[event]
        assert level is None or level in levels, event
        assert fields <= known | EVERY_LINE, (event, fields - known)


def test_a_real_log_has_the_fields_of_the_page(strict, site_for):
    """The events of a delivery, an outage and a stop have exactly the fields on the page."""
    site = site_for(strict)
    with site.daemon() as daemon:
        site.add("a", b"a")
        until(lambda: daemon.events("file_delivered"))
        strict.fault("reset", "PutObject", rule={"times": 4})
        site.add("b", b"b")
        until(lambda: daemon.events("uploads_recovered"))
        strict.fault("error", "PutObject", rule={"times": 2}, code="AccessDenied", message="Denied", status=403)
        site.add("c", b"c")
        until(lambda: daemon.events("destination_resumed"))
        assert daemon.stop() == 0
    seen: dict[str, set[str]] = {}
    for event in daemon.events():
        seen.setdefault(event["event"], set()).update(event)
    output = {
        "file_delivered",
        "upload_failed",
        "uploads_recovered",
        "destination_parked",
        "destination_resumed",
        "stopped",
    }
    assert output <= seen.keys()
    for event, fields in seen.items():
        assert fields - EVERY_LINE == documented()[event][1] - EVERY_LINE, event
