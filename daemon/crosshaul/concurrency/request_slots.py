"""Requests in flight to one destination: shared so that neither parts nor files that stalled hold all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from crosshaul.errors import HeldBackError


class SlotKind(IntEnum):
    """Whose request it is."""

    SMALL = 0
    """Of a small file."""
    LARGE = 1
    """Of a large file, or a part of one: at most three quarters."""
    STALLED = 2
    """Of a file whose earlier try stalled: at most a quarter."""


class _Waiting(NamedTuple):
    """Who waits for a slot."""

    number: int
    file: int
    turn: asyncio.Future[None]


class RequestSlots:
    """As many requests as the adaptive limit allows; who has to wait is served in the order of coming.

    One small file and one large one may go even where the limit has fallen so low that the others hold all there is.
    """

    def __init__(self, limit: Callable[[], int], ceiling: int) -> None:
        self._limit = limit
        self._ceiling = ceiling
        self._in_use = [0, 0, 0]
        self._queues: tuple[deque[_Waiting], ...] = (deque(), deque(), deque())
        self._number = 0
        self._may_go: Callable[[int], bool] | None = None
        self.used = 0

    async def hold(self, kind: SlotKind, file: int = 0) -> HeldSlot:
        """Wait for a slot, which is given back at the end of its block. Raises HeldBackError: ``file`` may not go."""
        if self._may_go is not None or not self.take(kind):
            await self.acquire(kind, file)
        return HeldSlot(self, kind)

    def close(self, may_go: Callable[[int], bool]) -> None:
        """Give slots to no files but those that may go; whoever else waits is held back."""
        self._may_go = may_go
        for waiting in chain(*self._queues):
            if not may_go(waiting.file) and not waiting.turn.done():
                waiting.turn.set_exception(HeldBackError("the destination takes nothing for now"))
        self._admit()

    def open(self) -> None:
        """Give slots to all files again."""
        self._may_go = None

    def take(self, kind: SlotKind) -> bool:
        """Take a slot if one is free and nobody of this kind queues for it."""
        if self._queues[kind] or not self._fits(kind):
            return False
        self._in_use[kind] += 1
        self.used += 1
        return True

    async def acquire(self, kind: SlotKind, file: int = 0) -> None:
        """Wait for a slot; the caller owes a ``release`` of it. Raises HeldBackError while ``file`` may not go."""
        if self._may_go is not None and not self._may_go(file):
            raise HeldBackError("the destination takes nothing for now")
        if self.take(kind):
            return
        turn = asyncio.get_running_loop().create_future()
        self._number += 1
        self._queues[kind].append(_Waiting(self._number, file, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # it may have been the one in the way
            elif turn.exception() is None:  # else it was held back in the same moment, and has none
                self.release(kind)
            raise

    def release(self, kind: SlotKind) -> None:
        """Give a slot back and let the next in."""
        self._in_use[kind] -= 1
        self.used -= 1
        if any(self._queues):
            self._admit()

    def _admit(self) -> None:
        while (kind := self._next()) is not None:
            self._in_use[kind] += 1
            self.used += 1
            self._queues[kind].popleft().turn.set_result(None)

    def _next(self) -> SlotKind | None:
        """The kind whose first has waited longest, of those that fit."""
        best, first = None, 0
        for kind in SlotKind:
            queue = self._queues[kind]
            while queue and queue[0].turn.done():  # cancelled, or held back
                queue.popleft()
            if queue and (best is None or queue[0].number < first) and self._fits(kind):
                best, first = kind, queue[0].number
        return best

    def _fits(self, kind: SlotKind) -> bool:
        if self._may_go is not None:
            return self.used < self._ceiling  # canaries: what hangs meanwhile must not be in their way
        limit, mine = self._limit(), self._in_use[kind]
        if kind is SlotKind.STALLED:
            return self.used < limit and mine < max(1, limit // 4)
        if mine == 0:
            return self.used < max(limit, min(self._ceiling, limit + 2))
        if kind is SlotKind.LARGE and mine >= limit - max(1, limit // 4):
            return False
        return self.used < limit


class HeldSlot:
    """``with`` for a slot: a class, since a generator for each file costs more than the waiting."""

    __slots__ = ("_kind", "_slots")

    def __init__(self, slots: RequestSlots, kind: SlotKind) -> None:
        self._slots = slots
        self._kind = kind

    def __enter__(self) -> None:
        """Nothing: it is held already."""

    def __exit__(self, *_: object) -> None:
        self._slots.release(self._kind)
