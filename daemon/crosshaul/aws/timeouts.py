"""How long a body may stand still, and how long its answer is waited for."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from crosshaul.aws.http1 import Deadlines

_MOST_TIMES = 16.0
"""The usual time at the most."""
_HALVES_IN_SECONDS = 1800.0
"""After so long a late answer counts half."""
_MOST_REMEMBERED = 4096
"""Requests that were given up."""
_SILENCES = frozenset({"ResponseTimeout", "ProgressTimeout"})


class BodyTimeouts:
    """The usual deadlines; twice as long with each try of a request, and twice what late answers took.

    A store (or a gateway that takes a whole body before it passes it on) may need minutes. A part that is given up then
    was sent in vain, and so is its next try unless that is waited for longer.
    """

    def __init__(self, usual: Deadlines) -> None:
        self._usual = usual
        self._given_up: dict[Hashable, int] = {}
        self._longest = 0.0
        self._longest_at = 0.0

    def deadlines(self, request: Hashable, now: float) -> Deadlines:
        """Those of this request."""
        if not self._given_up and not self._longest:
            return self._usual
        usual, waited = self._usual, 2 * self._remembered(now)
        if request not in self._given_up and waited <= usual.response:
            return usual
        times = min(_MOST_TIMES, 2.0 ** self._given_up.get(request, 0))
        response = min(_MOST_TIMES * usual.response, times * max(usual.response, waited))
        return replace(usual, progress=times * usual.progress, response=response)

    def answered(self, request: Hashable, waited: float, now: float) -> None:
        """The answer came after so many seconds."""
        if not waited and not self._given_up:
            return
        self._given_up.pop(request, None)
        if waited > self._remembered(now):
            self._longest, self._longest_at = waited, now

    def failed(self, request: Hashable, code: str) -> None:
        """No answer came; where that was for silence, the next try is more patient."""
        if code in _SILENCES:
            self._given_up[request] = self._given_up.pop(request, 0) + 1
            if len(self._given_up) > _MOST_REMEMBERED:
                del self._given_up[next(iter(self._given_up))]

    def _remembered(self, now: float) -> float:
        return self._longest * 0.5 ** ((now - self._longest_at) / _HALVES_IN_SECONDS) if self._longest else 0.0
