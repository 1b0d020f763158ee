"""The check against ``model.TRANSITIONS``; the schema's trigger makes the same check again."""

from __future__ import annotations

from crosshaul.model import TRANSITIONS, State


class IllegalTransition(RuntimeError):
    """A transition that the state machine does not allow: a programming error. Nothing was changed."""


def check_transition(file: object, old: State, new: State) -> State:
    """Return ``new``; raises IllegalTransition if it may not follow ``old``. ``file`` is for the message."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(f"record {file}: {old} can't become {new}")
    return new
