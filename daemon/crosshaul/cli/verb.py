"""A click command whose help is its docstring as written: indented lines keep their form."""

from __future__ import annotations

import inspect
from typing import Any

import click


class Verb(click.Command):
    """Paragraphs that hold indented lines (examples, exit codes) are not folded into running text."""

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - click's own arguments
        super().__init__(*arguments, **more)
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        # A line with a backspace alone is click's mark for "as it stands".
        self.help = "\n\n".join(f"\b\n{text}" if "\n  " in text else text for text in paragraphs)
