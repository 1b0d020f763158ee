"""Many rows in one step of a statement, in and out.

sqlite3 lets go of the interpreter's lock at every step and wants it back; with a step a row, the writer and the event
loop spend more on handing it to each other than on the rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from crosshaul.journal.sqlite.queries import SQL
from crosshaul.journal.sqlite.rows import reading

_PORTIONS = (64, 8, 1)
"""Rows in one statement: few sizes, so that each statement stays prepared."""


def run(connection: sqlite3.Connection, query: str, rows: Sequence[Sequence[object]]) -> None:
    """The query with ``rows`` in the place of its ``/*rows*/``."""
    start = 0
    for portion in _PORTIONS:
        while len(rows) - start >= portion:
            taken = rows[start : start + portion]
            connection.execute(_statement(query, portion, len(taken[0])), tuple(chain.from_iterable(taken)))
            start += portion


@reading
def ask(connection: sqlite3.Connection, query: str, values: Sequence[object]) -> list[Any]:
    """What a query answers that puts all its rows into one JSON list."""
    found: list[Any] = json.loads(connection.execute(SQL[query], values).fetchone()[0])
    return found


def compare(connection: sqlite3.Connection, query: str, rows: Sequence[Sequence[object]], *values: object) -> list[int]:
    """What a query says of ``rows``, all of them in one statement: numbers, in one JSON list."""
    statement = _statement(query, len(rows), len(rows[0]))
    found: list[int] = json.loads(connection.execute(statement, (*chain.from_iterable(rows), *values)).fetchone()[0])
    return found


def _statement(query: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return SQL[query].replace("/*rows*/", ", ".join([row] * rows))
