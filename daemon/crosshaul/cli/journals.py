"""Opening the journal for a look, also where there is none yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosshaul.errors import StateDirError
from crosshaul.journal.sqlite.connect import DATABASE
from crosshaul.journal.sqlite.reader import Reader

_PATIENCE = 1.0
_PAUSE = 0.02


@contextmanager
def looked_into(state_dir: Path) -> Iterator[Reader | None]:
    """The journal for the block; None where nothing has run yet. Raises StateDirError where it can't be read."""
    if _nothing_yet(state_dir / DATABASE):
        yield None
        return
    with _opened(state_dir) as reader:
        yield reader


def _opened(state_dir: Path) -> Reader:
    """A daemon that starts this moment has made the file, and not yet what is in it: it is given a second."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return Reader.open(state_dir)
        except StateDirError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _nothing_yet(database: Path) -> bool:
    try:
        database.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # not allowed, for instance: the reader says so better
    return False
