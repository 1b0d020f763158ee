"""Match gitignore patterns in time linear in the path's length, for any pattern and path.

pathspec has the rules: which pattern wins, and how a directory's pattern applies to the files below it. Its regular
expressions backtrack over all ways to split a name among several stars, which takes seconds for a name chosen for that.
The expressions made here do not backtrack: each star ends at the first place where the text after it matches, and an
atomic group keeps that choice. If the rest does not match from there, it does not match from a later place either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_END = r"(?=/|\Z)"
_BELOW = "(?P<ps_d>/)"
"""The group that pathspec reads as a match of a directory above the file. A match of the file itself has precedence."""
_ANYWHERE = "(?:[^/]++/)*"
_STAR = "*"


def spec(lines: Sequence[str]) -> GitIgnoreSpec:
    """Compile patterns. The last one that matches a path decides. Raises ValueError for an invalid pattern."""
    return GitIgnoreSpec.from_lines(lines, _Pattern, backend="simple")  # others have no atomic groups


class _Pattern(GitIgnoreSpecPattern):
    """A pattern whose regular expression does not backtrack."""

    __slots__ = ()

    @classmethod
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        """Return the regular expression, and True if a match includes the path. Empty patterns are left to pathspec."""
        regex, include = super().pattern_to_regex(pattern)
        if regex is None or not regex.startswith("^"):
            return regex, include
        text = pattern if pattern.endswith("\\ ") else pattern.rstrip()
        return _regex(text.removeprefix("!")), include


def _regex(pattern: str) -> str:
    segments = pattern.split("/")
    directory = not segments[-1]
    if not segments[0]:
        del segments[0]
    elif len(segments) - directory == 1:
        segments.insert(0, "**")
    if directory:
        segments[-1] = "**"
    inside = segments[-1] == "**"
    groups = list(_groups(segments))
    regex = "^"
    for number, (floats, group) in enumerate(groups):
        last = number == len(groups) - 1
        names = "/".join(map(_name, group))
        if floats and not last:
            regex += f"(?>{_ANYWHERE}?{names}/)"
        else:
            # The last group takes its last match: a match of the file has precedence over one of a directory above.
            regex += (_ANYWHERE if floats else "") + names + ("" if last else "/")
    if inside:
        return regex + (_BELOW if directory else "/")
    return regex + rf"(?:{_BELOW}|\Z)"


def _groups(segments: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield the runs of segments between ``**``, each with True if it matches at any depth below the one before."""
    floats, group = False, list[str]()
    for segment in segments:
        if segment != "**":
            group.append(segment)
            continue
        if group:
            yield floats, group
        floats, group = True, []
    if group:
        yield floats, group


def _name(glob: str) -> str:
    """Return a regular expression for one whole name."""
    if glob == _STAR:
        return "[^/]++"
    first, *others = _chunks(glob)
    if not others:
        return first + _END
    *middle, last = others
    regex = first + "".join(f"(?>[^/]*?{chunk})" for chunk in middle if chunk)
    return regex + (f"(?>[^/]*{last}{_END})" if last else "[^/]*+")


def _chunks(glob: str) -> list[str]:
    """Return the texts between the stars, each as a regular expression of fixed length."""
    chunks, at = [""], 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == _STAR:
            chunks.append("")
        elif char == "?":
            chunks[-1] += "[^/]"
        elif char == "\\":
            chunks[-1] += re.escape(glob[at : at + 1])
            at += 1
        elif char == "[":
            end = _bracket_end(glob, at)
            chunks[-1] += "(?!/)" + _bracket(glob[at:end])
            at = end
        else:
            chunks[-1] += re.escape(char)
    return chunks


def _bracket_end(glob: str, at: int) -> int:
    """Return the index after the bracket that closes the one before ``at``. pathspec refuses patterns without one."""
    start = at + (glob[at] in "!^")
    return glob.index("]", start + (glob[start] == "]")) + 1


def _bracket(expression: str) -> str:
    negated = expression[0] in "!^"
    return "[" + "^" * negated + expression[negated:].replace("\\", "\\\\")
