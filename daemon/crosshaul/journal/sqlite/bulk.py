"""Reads and writes many rows in one step of a statement.

sqlite3 releases the interpreter's lock at every step. With one step per row, the writer and the event loop would spend
more time on handing over the lock than on the rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from crosshaul.journal.sqlite.rows import reading
from crosshaul.journal.sqlite.sql_files import SQL

_STATEMENT_ROWS = (64, 8, 1)
"""Rows per statement: few sizes, so that each statement stays prepared."""


def run(connection: sqlite3.Connection, query: str, rows: Sequence[Sequence[object]]) -> None:
    """Run the query with ``rows`` in place of its ``/*rows*/``."""
    start = 0
    for size in _STATEMENT_ROWS:
        while len(rows) - start >= size:
            taken = rows[start : start + size]
            connection.execute(_statement(query, size, len(taken[0])), tuple(chain.from_iterable(taken)))
            start += size


@reading
def ask(connection: sqlite3.Connection, query: str, values: Sequence[object]) -> list[Any]:
    """Return the rows of a query that puts them all into one JSON list."""
    result: list[Any] = json.loads(connection.execute(SQL[query], values).fetchone()[0])
    return result


def compare(connection: sqlite3.Connection, query: str, rows: Sequence[Sequence[object]], *values: object) -> list[int]:
    """Return the numbers, in one JSON list, that a query computes from all ``rows`` in one statement."""
    statement = _statement(query, len(rows), len(rows[0]))
    numbers: list[int] = json.loads(connection.execute(statement, (*chain.from_iterable(rows), *values)).fetchone()[0])
    return numbers


def _statement(query: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return SQL[query].replace("/*rows*/", ", ".join([row] * rows))
