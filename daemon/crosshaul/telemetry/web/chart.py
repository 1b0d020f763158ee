"""A value over time as the points of an SVG line, with the same in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import starmap

from crosshaul.display import duration, moment

_WIDTH, _HEIGHT = 480, 96
_MARGIN = 4
"""Above and below the line."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as the template draws it. Without ``points`` only the caption is shown."""

    title: str
    caption: str
    label: str = ""
    """The whole chart in words, for a screen reader."""
    points: str = ""
    """``x,y`` pairs for an SVG polyline."""
    begin: str = ""
    end: str = ""
    width: int = _WIDTH
    height: int = _HEIGHT


def chart(title: str, points: Sequence[tuple[float, float]], unit: Callable[[float], str]) -> Chart:
    """Return the chart of ``(Unix time, value)`` pairs; ``unit`` writes a value with its unit."""
    if len(points) < 2:  # noqa: PLR2004 - a line has two ends
        return Chart(title, "no data yet")
    (begin, _), (end, last) = points[0], points[-1]
    highest = max(value for _, value in points)
    caption = f"now {unit(last)}, at most {unit(highest)}"
    return Chart(
        title=title,
        caption=caption,
        label=f"{title} over the last {duration(end - begin)}: {caption}.",
        points=" ".join(_scaled(points, highest or 1.0)),
        begin=moment(begin, end),
        end=moment(end, end),
    )


def _scaled(points: Sequence[tuple[float, float]], highest: float) -> list[str]:
    begin = points[0][0]
    span = (points[-1][0] - begin) or 1.0

    def position(at: float, value: float) -> str:
        x = (at - begin) / span * _WIDTH
        y = _HEIGHT - _MARGIN - value / highest * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    return list(starmap(position, points))
