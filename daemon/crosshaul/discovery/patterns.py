"""Patterns in gitignore's syntax, matched in time linear to a path's length, whatever pattern and path are.

pathspec has the rules (which pattern wins, what a directory's means for the files below it); its regular expressions
try every way to share out a name among several stars, which takes seconds for a name that was made for it. Here each
star takes the first place where what follows it fits, once and for all (an atomic group): if the rest does not fit
after the first place, it fits after no later one either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_END = r"(?=/|\Z)"
_BELOW = "(?P<ps_d>/)"
"""pathspec's mark for a match of a directory above the file, which weighs less than one of the file itself."""
_ANYWHERE = "(?:[^/]++/)*"
_STAR = "*"


def spec(lines: Sequence[str]) -> GitIgnoreSpec:
    """The patterns of ``lines``, of which the last one that matches a path decides. Raises ValueError."""
    return GitIgnoreSpec.from_lines(lines, _Pattern, backend="simple")  # others have no atomic groups


class _Pattern(GitIgnoreSpecPattern):
    """One pattern, without backtracking."""

    __slots__ = ()

    @classmethod
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        """The regular expression, and whether a match includes; as pathspec has it where it has no wildcards."""
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
            # Of the last group the last place counts: a match of the file itself weighs more than one above it.
            regex += (_ANYWHERE if floats else "") + names + ("" if last else "/")
    if inside:
        return regex + (_BELOW if directory else "/")
    return regex + rf"(?:{_BELOW}|\Z)"


def _groups(segments: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """The runs of segments between ``**``, each with whether it may be anywhere below the one before."""
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
    """A regular expression for a whole name."""
    if glob == _STAR:
        return "[^/]++"
    first, *others = _chunks(glob)
    if not others:
        return first + _END
    *middle, last = others
    regex = first + "".join(f"(?>[^/]*?{chunk})" for chunk in middle if chunk)
    return regex + (f"(?>[^/]*{last}{_END})" if last else "[^/]*+")


def _chunks(glob: str) -> list[str]:
    """The texts between the stars, each a regular expression of fixed length."""
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
    """The place after the bracket that closes the one before ``at``; pathspec has refused a pattern without one."""
    start = at + (glob[at] in "!^")
    return glob.index("]", start + (glob[start] == "]")) + 1


def _bracket(expression: str) -> str:
    negated = expression[0] in "!^"
    return "[" + "^" * negated + expression[negated:].replace("\\", "\\\\")
