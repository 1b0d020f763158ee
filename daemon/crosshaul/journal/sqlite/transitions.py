"""The one place that says no to a move which ``model.MOVES`` doesn't know (the schema's trigger stands behind it)."""

from __future__ import annotations

from crosshaul.model import MOVES, State


class IllegalTransition(RuntimeError):
    """A programming error: a file was to go from one state to another that can't follow it. Nothing was changed."""


def check_move(file: object, old: State, new: State) -> State:
    """Return ``new``; raises IllegalMove if it can't follow ``old``. ``file`` names the record in the message."""
    if new not in MOVES[old]:
        raise IllegalTransition(f"record {file}: {old} can't become {new}")
    return new
