"""The status page: the facts of ``/status.json`` as plain HTML, without scripts. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from crosshaul.telemetry.health import Verdict

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 0 0 2rem; width: 100% }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
"""
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_COUNTS = ("pending", "uploading", "delivered", "quarantined")


def render(status: Mapping[str, Any], live: Verdict, ready: Verdict) -> str:
    """The whole page. Reloads itself every 5 seconds."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>Crosshaul: {status["pending"]} pending</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Crosshaul</h1>
<p>{_sentence(live, ready)}</p>
<h2>Routes</h2>
{_routes(status["routes"])}
<h2>Destinations</h2>
{_destinations(status["destinations"])}
<p><a href="/status.json">status.json</a> <a href="/metrics">metrics</a></p>
</body>
</html>
"""


def _sentence(live: Verdict, ready: Verdict) -> str:
    faults = [*live.reasons, *ready.reasons]
    begin = "Files can be delivered." if live.ok and ready.ok else "<strong>Files can't be delivered.</strong>"
    return " ".join([begin, *(f"{escape(fault).rstrip('.')}." for fault in faults)])


def _routes(routes: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ([name, route["watcher"], *(route[count] for count in _COUNTS)] for name, route in routes.items())
    return _table(["route", "watcher", *_COUNTS], rows)


def _destinations(destinations: Mapping[str, Mapping[str, Any]]) -> str:
    rows = (
        [name, facts["state"], _duration(facts["credentials_expire_in_seconds"]), facts["last_error"] or ""]
        for name, facts in destinations.items()
    )
    return _table(["destination", "state", "session ends in", "last error"], rows)


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.0f} s"


def _table(heads: list[str], rows: Iterable[list[Any]]) -> str:
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(value: object) -> str:
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
