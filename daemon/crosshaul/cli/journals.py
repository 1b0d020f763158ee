"""Opening the journal for a look, also where there is none yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosshaul.journal.connect import DATABASE
from crosshaul.journal.reader import Reader


@contextmanager
def looked_into(state_dir: Path) -> Iterator[Reader | None]:
    """The journal for the block; None where nothing has run yet. Raises StateDirError where it can't be read."""
    if _nothing_yet(state_dir / DATABASE):
        yield None
        return
    with Reader.open(state_dir) as reader:
        yield reader


def _nothing_yet(database: Path) -> bool:
    try:
        database.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # not allowed, for instance: the reader says so better
    return False
