"""The pieces of HTML that the page is made of. Pure.

Whatever comes from outside (names of files, errors) is text: it is made printable and escaped in ``text`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from crosshaul.display import printable


class Html(str):
    """What is markup already, made of escaped pieces."""

    __slots__ = ()


def text(value: object) -> Html:
    """Anything as text: nothing in it is markup."""
    return value if isinstance(value, Html) else Html(escape(printable(value)))


def badge(mood: str, words: str) -> Html:
    """A state, in words and in colour."""
    return Html(f'<span class="badge {mood}">{text(words)}</span>')


def progress(done: int, whole: int, words: str) -> Html:
    """How far something is, as a bar and in words."""
    return Html(f'<progress value="{done}" max="{max(1, whole)}" aria-label="{text(words)}"></progress> {text(words)}')


def section(name: str, title: str, inside: str) -> str:
    """A part of the page with its heading; ``name`` is what the script knows it by."""
    return f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{text(title)}</h2>{inside}</section>'


def table(name: str, title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> str:
    """A section with a table, or with the sentence ``empty``. Its first column names the row; it scrolls by itself."""
    body = "\n".join(map(_row, rows))
    if not body:
        return section(name, title, f"<p>{text(empty)}</p>")
    head = "".join(f'<th scope="col">{text(each)}</th>' for each in heads)
    return section(
        name,
        title,
        f'<div class="wide" id="{name}-w" tabindex="0" role="group" aria-labelledby="{name}-h"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>",
    )


def _row(cells: Sequence[object]) -> str:
    first, *others = cells
    return f'<tr><th scope="row">{text(first)}</th>{"".join(map(_cell, others))}</tr>'


def _cell(value: object) -> str:
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{text(value)}</td>"
