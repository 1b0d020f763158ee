"""A line over time as an inline SVG that needs neither script nor style of its own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from crosshaul.display import duration, moment

_WIDTH, _HEIGHT = 480, 96


def chart(title: str, points: Sequence[tuple[float, float]], unit: Callable[[float], str]) -> str:
    """A figure of ``(seconds since the epoch, value)``; its caption says in words what the line shows."""
    if len(points) < 2:  # noqa: PLR2004 - a line has two ends
        return f"<figure><figcaption>{escape(title)}: collecting, a moment please.</figcaption></figure>"
    (begin, _), (end, last) = points[0], points[-1]
    most = max(value for _, value in points)
    told = f"now {unit(last)}, at most {unit(most)}"
    spoken = f"{title} over the last {duration(end - begin)}: {told}."
    line = " ".join(_scaled(points, most or 1.0))
    return f"""<figure>
<figcaption><b>{escape(title)}</b> {escape(told)}</figcaption>
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(spoken)}">
<polygon class="area" points="0,{_HEIGHT} {line} {_WIDTH},{_HEIGHT}"/>
<polyline class="line" points="{line}"/>
</svg>
<div class="axis" aria-hidden="true"><span>{moment(begin, end)}</span><span>{moment(end, end)}</span></div>
</figure>"""


def _scaled(points: Sequence[tuple[float, float]], most: float) -> list[str]:
    begin = points[0][0]
    span = (points[-1][0] - begin) or 1.0
    return [
        f"{(at - begin) / span * _WIDTH:.1f},{_HEIGHT - 4 - value / most * (_HEIGHT - 8):.1f}" for at, value in points
    ]
