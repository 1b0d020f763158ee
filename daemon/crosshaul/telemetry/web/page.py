"""The status page: the facts of ``/status.json``, the last hours and the work at hand as plain HTML. Pure.

Whatever comes from outside (names of files, errors) is text: it is made printable and escaped in ``_text`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from crosshaul.model import Record
from crosshaul.telemetry.health import Verdict
from crosshaul.telemetry.history import Sample
from crosshaul.telemetry.plain import printable
from crosshaul.telemetry.web.chart import chart
from crosshaul.telemetry.words import count, duration, size

_LATE = 900.0
"""Seconds a file may wait before the page stops calling it usual; what ``status --healthy`` allows by default."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the page tells. ``sending`` and ``failed`` are the first few of each."""

    status: Mapping[str, Any]
    live: Verdict
    ready: Verdict
    samples: Sequence[Sample]
    sending: Sequence[Record]
    failed: Sequence[Record]


def render(facts: Facts) -> str:
    """The whole page. The script swaps ``main`` for a fresh one; without scripts the page is loaded again."""
    mood, headline = _headline(facts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="10"></noscript>
<title>{_text(headline)} - Crosshaul</title>
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header><h1>Crosshaul</h1><p id="headline" class="{mood}" role="status">{_text(headline)}</p></header>
<main id="main">
{_totals(facts)}
{_trouble(facts)}
<section aria-labelledby="h-hours"><h2 id="h-hours">The last hours</h2><div class="charts">
{_charts(facts.samples)}
</div></section>
{_section("Destinations", _DESTINATION, _destinations(facts.status["destinations"]))}
{_section("Being sent now", _SENDING, map(_sending, facts.sending), "Nothing is being sent at the moment.")}
{_section("Set aside", _FAILED, map(_failed, facts.failed), "No file is set aside.")}
{_section("Routes", _ROUTE, _routes(facts.status["routes"]))}
</main>
<footer><p id="fresh">As of the last load.</p>
<nav aria-label="For programs"><a href="/status.json">status.json</a> <a href="/metrics">metrics</a></nav></footer>
</body>
</html>
"""


def _headline(facts: Facts) -> tuple[str, str]:
    """The one sentence that a tired person reads, and how it is coloured."""
    status = facts.status
    waiting = count(status["pending"] + status["uploading"], "file")
    if not (facts.live.ok and facts.ready.ok):
        return "bad", f"Files can't be delivered; {waiting} waiting."
    oldest = status["oldest_pending_seconds"]
    if facts.ready.reasons:
        return "warn", f"Some destinations take no files; {waiting} waiting."
    if status["quarantined"]:
        return "warn", f"{count(status['quarantined'], 'file')} set aside; {waiting} waiting."
    if oldest > _LATE:
        return "warn", f"Behind: {waiting} waiting, the oldest for {duration(oldest)}."
    if status["pending"] or status["uploading"]:
        return "good", f"Delivering: {waiting} to go."
    return "good", "Everything is delivered."


def _totals(facts: Facts) -> str:
    status = facts.status
    rate = facts.samples[-1].rate if facts.samples else 0.0
    told = {
        "Oldest file waits": duration(status["oldest_pending_seconds"]) if status["pending"] else "none waits",
        "To be sent": f"{status['pending'] + status['uploading']:,} ({size(status['pending_bytes'])})",
        "Rate": f"{size(rate)}/s",
        "Delivered": f"{status['delivered']:,} ({size(status['delivered_bytes'])})",
        "Set aside": f"{status['quarantined']:,}",
    }
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in told.items())
    return f'<section aria-label="In short"><dl class="tiles">{items}</dl></section>'


def _trouble(facts: Facts) -> str:
    reasons = [*facts.live.reasons, *facts.ready.reasons]
    if not reasons:
        return ""
    lines = "".join(f"<li>{_text(reason)}</li>" for reason in reasons)
    return (
        f'<section aria-labelledby="h-wrong"><h2 id="h-wrong">What is wrong</h2><ul>{lines}</ul>'
        "<p>Nothing is lost: the files wait and are tried again. <code>crosshaul check</code> says what is missing, and"
        " whose it is.</p></section>"
    )


def _charts(samples: Sequence[Sample]) -> str:
    return "\n".join(
        [
            chart("Rate", [(each.at, each.rate) for each in samples], lambda value: f"{size(value)}/s"),
            chart("Backlog", [(each.at, each.backlog) for each in samples], lambda value: count(int(value), "file")),
            chart("Oldest file", [(each.at, each.oldest) for each in samples], duration),
        ]
    )


_DESTINATION = ("Destination", "State", "Credentials", "Last error", "What to do")
_SENDING = ("File", "Route", "Size", "Done")
_FAILED = ("File", "Route", "Why", "What to do")
_ROUTE = ("Route", "Watcher", "Pending", "Being sent", "Delivered", "Set aside", "Oldest waits")


def _destinations(destinations: Mapping[str, Mapping[str, Any]]) -> Iterable[list[object]]:
    for name, facts in destinations.items():
        ends, again = facts["credentials_expire_in_seconds"], facts["retry_in_seconds"]
        state = facts["state"] + (f", tried again in {duration(again)}" if again is not None else "")
        credentials = "no session" if ends is None else "ended" if not ends else f"good for {duration(ends)}"
        advice = f"crosshaul check --destination {name}" if facts["last_error"] else "nothing"
        yield [name, state, credentials, facts["last_error"] or "none", advice]


def _routes(routes: Mapping[str, Mapping[str, Any]]) -> Iterable[list[object]]:
    for name, facts in routes.items():
        watcher = f"{facts['watcher']}{', paused' if facts['paused'] else ''}"
        counts = [facts[each] for each in ("pending", "uploading", "delivered", "quarantined")]
        yield [name, watcher, *counts, duration(facts["oldest_pending_seconds"]) if facts["pending"] else "-"]


def _sending(record: Record) -> list[object]:
    whole = record.fingerprint.size
    if record.multipart is None:
        return [record.path, record.route, size(whole), "in one request"]
    parts = record.multipart.parts
    sent = sum(part.size for part in parts)
    total = -(-whole // record.multipart.part_size)
    done = f"{size(sent)}, {sent * 100 // max(1, whole)}% ({len(parts):,} of {count(total, 'part')})"
    return [record.path, record.route, size(whole), done]


def _failed(record: Record) -> list[object]:
    why = record.diagnosis.line() if record.diagnosis else "no reason was kept"
    return [record.path, record.route, why, "mend the cause, then: crosshaul retry"]


def _section(title: str, heads: Sequence[str], rows: Iterable[list[object]], empty: str = "There is none.") -> str:
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    name = f"h-{heads[0].lower()}-{len(heads)}-{title.split(maxsplit=1)[0].lower()}"
    head = "".join(f'<th scope="col">{_text(text)}</th>' for text in heads)
    inside = (
        f'<div class="wide" id="w-{name}" tabindex="0" role="region" aria-labelledby="{name}"><table>'
        f'<caption class="unseen">{_text(title)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        if body
        else f"<p>{_text(empty)}</p>"
    )
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{_text(title)}</h2>{inside}</section>'


def _cell(value: object) -> str:
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{_text(value)}</td>"


def _text(value: object) -> str:
    return escape(printable(value))
