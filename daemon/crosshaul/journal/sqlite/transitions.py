"""The check against ``model.TRANSITIONS``; the schema's trigger makes the same check again."""

from __future__ import annotations

from crosshaul.model import TRANSITIONS, State


class IllegalTransition(RuntimeError):
    """A programming error: a file was to go from one state to another that can't follow it. Nothing was changed."""


def check_transition(file: object, old: State, new: State) -> State:
    """Return ``new``; raises IllegalTransition if it can't follow ``old``. ``file`` names the record in the message."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(f"record {file}: {old} can't become {new}")
    return new
