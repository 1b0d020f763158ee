"""Deadlines of request bodies and their responses, longer for stores that have responded late."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from crosshaul.aws.http1 import Deadlines

_MAX_FACTOR = 16.0
"""Upper bound of a deadline, in multiples of the default."""
_HALF_LIFE_SECONDS = 1800.0
"""Time after which a late response counts half."""
_MAX_GIVEN_UP = 4096
_SILENCE_CODES = frozenset({"ResponseTimeout", "ProgressTimeout"})


class BodyTimeouts:
    """Default deadlines, doubled with each attempt of a request, and at least twice the latest slow response.

    A store, or a gateway that buffers a whole body, may need minutes to respond. Without longer deadlines each attempt
    of a part would be given up after its whole body was sent.
    """

    def __init__(self, default: Deadlines) -> None:
        self._default = default
        self._given_up: dict[Hashable, int] = {}
        self._longest = 0.0
        self._longest_at = 0.0

    def deadlines(self, request: Hashable, now: float) -> Deadlines:
        """Return the deadlines of a request."""
        if not self._given_up and not self._longest:
            return self._default
        default, waited = self._default, 2 * self._recent_wait(now)
        if request not in self._given_up and waited <= default.response:
            return default
        factor = min(_MAX_FACTOR, 2.0 ** self._given_up.get(request, 0))
        response = min(_MAX_FACTOR * default.response, factor * max(default.response, waited))
        return replace(default, progress=factor * default.progress, response=response)

    def responded(self, request: Hashable, waited: float, now: float) -> None:
        """Note a response that came ``waited`` seconds after the request was received."""
        if not waited and not self._given_up:
            return
        self._given_up.pop(request, None)
        if waited > self._recent_wait(now):
            self._longest, self._longest_at = waited, now

    def failed(self, request: Hashable, code: str) -> None:
        """Note a request without a response; after a timeout the next attempt gets longer deadlines."""
        if code in _SILENCE_CODES:
            self._given_up[request] = self._given_up.pop(request, 0) + 1
            if len(self._given_up) > _MAX_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]

    def _recent_wait(self, now: float) -> float:
        return self._longest * 0.5 ** ((now - self._longest_at) / _HALF_LIFE_SECONDS) if self._longest else 0.0
