"""Opens the journal for reading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosshaul.errors import StateDirError
from crosshaul.journal import DATABASE, Reader

_OPEN_TIMEOUT_SECONDS = 1.0
_RETRY_SECONDS = 0.02


@contextmanager
def journal_reader(state_dir: Path) -> Iterator[Reader | None]:
    """Open the journal for the block; None if no journal exists yet. Raises StateDirError if it can't be read."""
    if _is_missing(state_dir / DATABASE):
        yield None
        return
    with _open(state_dir) as reader:
        yield reader


def _open(state_dir: Path) -> Reader:
    """Open the journal, and retry for a second: a daemon that starts may have created the file but no tables."""
    deadline = time.monotonic() + _OPEN_TIMEOUT_SECONDS
    while True:
        try:
            return Reader.open(state_dir)
        except StateDirError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _is_missing(database: Path) -> bool:
    try:
        database.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # permission denied, for instance: the reader's error is clearer
    return False
