"""The status page: the facts of ``/status.json``, the last hours and the work at hand as plain HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from crosshaul.display import count, duration, moment, size
from crosshaul.telemetry.history import Sample
from crosshaul.telemetry.web.chart import chart
from crosshaul.telemetry.web.markup import section, text
from crosshaul.telemetry.web.tables import tables
from crosshaul.telemetry.web.verdict import PageFacts, Problem, headline, time_left, troubles_of

_SIGNS = {"good": "\u2713", "warn": "!", "bad": "\u2715"}


def render(facts: PageFacts) -> str:
    """The whole page. The script swaps what has changed in ``main``; without scripts the page is loaded again."""
    troubles = troubles_of(facts)
    left = time_left(facts, troubles)
    mood, sentence = headline(facts, troubles, left)
    now = facts.status["now"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="10"></noscript>
<title>{text(sentence)} - Crosshaul</title>
<link id="icon" rel="icon" type="image/svg+xml" href="/{mood}.svg">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header>
<h1>Crosshaul</h1>
<div id="mood" class="{mood}"><span id="sign" aria-hidden="true">{_SIGNS[mood]}</span>
<p id="headline" role="status">{text(sentence)}</p></div>
<p id="fresh">As of {moment(now, now)}.</p>
</header>
<main id="main">
{_totals(facts, left)}
{_wrong(troubles)}
{section("hours", "The last hours", f'<div class="charts">{_charts(facts.samples)}</div>')}
{"".join(tables(facts))}
</main>
<footer><nav aria-label="For programs">
<a href="/status.json">status.json</a> <a href="/metrics">metrics</a>
</nav></footer>
</body>
</html>
"""


def icon(mood: str) -> str:
    """What stands in the browser's tab: its colour tells how it is."""
    colour = {"good": "#1a7f37", "warn": "#bf8700", "bad": "#cf222e"}[mood]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="{colour}"/></svg>'
    )


def _totals(facts: PageFacts, left: float | None) -> str:
    status = facts.status
    open_files = status["pending"] + status["uploading"]
    told = {
        "Oldest file waits": (duration(status["oldest_pending_seconds"]) if status["pending"] else "none waits", ""),
        "To be sent": (count(open_files, "file"), f"{size(status['pending_bytes'])} in line" if open_files else ""),
        "Rate, last minute": (
            f"{size(facts.samples[-1].rate if facts.samples else 0)}/s",
            f"{duration(left)} left" if left and open_files else "",
        ),
        "Delivered": (count(status["delivered"], "file"), size(status["delivered_bytes"])),
        "Set aside": (count(status["quarantined"], "file"), ""),
    }
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(more)}</small></dd></div>"
        for name, (value, more) in told.items()
    )
    return f'<section id="short" aria-label="In short"><dl class="tiles">{items}</dl></section>'


def _wrong(troubles: Sequence[Problem]) -> str:
    if not troubles:
        return ""
    lines = "".join(map(_trouble, troubles))
    return section("wrong", "What is wrong", f"<ul>{lines}</ul><p>Nothing is lost: what waits is tried again.</p>")


def _trouble(each: Problem) -> str:
    cure = f'<a href="#{each.where}">{text(each.cure)}</a>' if each.where else f"<span>{text(each.cure)}</span>"
    return f'<li class="{each.mood}"><span>{text(each.full)}</span> <b>What to do:</b> {cure}</li>'


def _charts(samples: Sequence[Sample]) -> str:
    return "\n".join(
        [
            chart("Rate", [(each.at, each.rate) for each in samples], lambda value: f"{size(value)}/s"),
            chart("Backlog", [(each.at, each.backlog) for each in samples], lambda value: count(int(value), "file")),
            chart("Oldest file", [(each.at, each.oldest) for each in samples], duration),
        ]
    )
