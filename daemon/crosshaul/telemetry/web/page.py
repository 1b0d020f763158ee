"""The status page as HTML, from its templates. The only user of jinja2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crosshaul.display import count, duration, moment, printable, size
from crosshaul.telemetry.history import Sample
from crosshaul.telemetry.web.chart import Chart, chart
from crosshaul.telemetry.web.problems import PageData, headline, problems_of, time_left
from crosshaul.telemetry.web.tables import tables_of

_SIGNS = {"good": "\u2713", "warn": "!", "bad": "\u2715"}
_COLOURS = {"good": "#1a7f37", "warn": "#bf8700", "bad": "#cf222e"}


def _make_printable(value: object) -> object:
    """Return what a template inserts: markup of a macro as it is, anything else (names, errors) made printable."""
    return value if hasattr(value, "__html__") else printable(value)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_make_printable,
    auto_reload=False,
)
_PAGE = _ENVIRONMENT.get_template("page.html")
_ICON = _ENVIRONMENT.get_template("icon.svg")


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure of the summary, with a detail below it."""

    name: str
    value: str
    detail: str = ""


def render(page: PageData) -> str:
    """Return the whole page. The script replaces changed parts of ``main``; without scripts the page reloads."""
    problems = problems_of(page)
    seconds_left = time_left(page, problems)
    mood, sentence = headline(page, problems, seconds_left)
    now = page.status["now"]
    return _PAGE.render(
        mood=mood,
        sign=_SIGNS[mood],
        headline=sentence,
        as_of=moment(now, now),
        tiles=_tiles(page, seconds_left),
        problems=problems,
        charts=_charts(page.samples),
        tables=tables_of(page),
    )


def icon(mood: str) -> str:
    """Return the browser tab's icon as SVG, in the colour of the mood."""
    return _ICON.render(colour=_COLOURS[mood])


def _tiles(page: PageData, seconds_left: float | None) -> list[Tile]:
    status = page.status
    backlog = status["pending"] + status["uploading"]
    rate = page.samples[-1].rate if page.samples else 0
    return [
        Tile("Oldest pending", duration(status["oldest_pending_seconds"]) if status["pending"] else "-"),
        Tile("To send", count(backlog, "file"), f"{size(status['pending_bytes'])} pending" if backlog else ""),
        Tile(
            "Rate, last minute",
            f"{size(rate)}/s",
            f"about {duration(seconds_left)} left" if seconds_left and backlog else "",
        ),
        Tile("Delivered", count(status["delivered"], "file"), size(status["delivered_bytes"])),
        Tile("Quarantined", count(status["quarantined"], "file")),
    ]


def _charts(samples: Sequence[Sample]) -> list[Chart]:
    return [
        chart("Rate", [(sample.at, sample.rate) for sample in samples], lambda value: f"{size(value)}/s"),
        chart("Backlog", [(sample.at, sample.backlog) for sample in samples], lambda value: count(int(value), "file")),
        chart("Oldest pending", [(sample.at, sample.oldest) for sample in samples], duration),
    ]
