"""The marked blocks of the documents, for tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_BLOCK = re.compile(r"<!-- ([\w-]+):? ?([\w.-]*?) -->\n```\w+\n(.*?)```", re.DOTALL)


def blocks(document: str, kind: str) -> dict[str, str]:
    """The blocks of a kind: name (or number) -> text."""
    found = [match.groups() for match in _BLOCK.finditer((REPOSITORY / document).read_text())]
    return {name or str(number): text for number, (what, name, text) in enumerate(found) if what == kind}


def block(document: str, kind: str) -> str:
    """The only block of a kind."""
    (text,) = blocks(document, kind).values()
    return text
