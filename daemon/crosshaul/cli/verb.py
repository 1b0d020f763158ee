"""A click command whose help keeps the lines of its docstring where these are indented."""

from __future__ import annotations

import inspect
from typing import Any

import click


class Verb(click.Command):
    """A verb of the command line. Help paragraphs with indented lines (examples, exit codes) are not re-wrapped."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - click's own arguments
        super().__init__(*arguments, **options)
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        # A line with only a backspace tells click not to re-wrap the paragraph.
        self.help = "\n\n".join(f"\b\n{text}" if "\n  " in text else text for text in paragraphs)
