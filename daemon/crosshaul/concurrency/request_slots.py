"""Share a destination's requests in flight among small files, large files and files that stalled before."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from crosshaul.errors import HeldBackError


class SlotKind(IntEnum):
    """The kind of file that a request is for."""

    SMALL = 0
    """A small file."""
    LARGE = 1
    """A large file or a part of one: at most three quarters of the slots."""
    STALLED = 2
    """A file whose earlier attempt stalled: at most a quarter of the slots."""


class _SlotRequest(NamedTuple):
    """A queued request for a slot."""

    number: int
    file: int
    turn: asyncio.Future[None]


class RequestSlots:
    """Grants as many slots as the adaptive limit allows, first come, first served.

    One small and one large file may be sent even when the limit has fallen so far that others hold all slots.
    """

    def __init__(self, limit: Callable[[], int], ceiling: int) -> None:
        self._limit = limit
        self._ceiling = ceiling
        self._in_use = [0, 0, 0]
        self._queues: tuple[deque[_SlotRequest], ...] = (deque(), deque(), deque())
        self._number = 0
        self._may_go: Callable[[int], bool] | None = None
        self.used = 0

    async def hold(self, kind: SlotKind, file: int = 0) -> HeldSlot:
        """Wait for a slot, which its block releases at its end. Raises HeldBackError while ``file`` may not be sent."""
        if self._may_go is not None or not self.take(kind):
            await self.acquire(kind, file)
        return HeldSlot(self, kind)

    def close(self, may_go: Callable[[int], bool]) -> None:
        """Give slots only to files that ``may_go`` accepts. Raise HeldBackError in the waits of all others."""
        self._may_go = may_go
        for waiting in chain(*self._queues):
            if not may_go(waiting.file) and not waiting.turn.done():
                waiting.turn.set_exception(HeldBackError("the destination accepts no files at the moment"))
        self._admit()

    def open(self) -> None:
        """Give slots to all files again."""
        self._may_go = None

    def take(self, kind: SlotKind) -> bool:
        """Take a slot if one is free and no request of this kind queues."""
        if self._queues[kind] or not self._fits(kind):
            return False
        self._in_use[kind] += 1
        self.used += 1
        return True

    async def acquire(self, kind: SlotKind, file: int = 0) -> None:
        """Wait for a slot. The caller must release it. Raises HeldBackError while ``file`` may not be sent."""
        if self._may_go is not None and not self._may_go(file):
            raise HeldBackError("the destination accepts no files at the moment")
        if self.take(kind):
            return
        turn = asyncio.get_running_loop().create_future()
        self._number += 1
        self._queues[kind].append(_SlotRequest(self._number, file, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # its request may have blocked the next one
            elif turn.exception() is None:  # else it was held back at the same moment, and has no slot
                self.release(kind)
            raise

    def release(self, kind: SlotKind) -> None:
        """Release a slot and admit the next requests."""
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
        """Return the kind whose first request has waited longest, of the kinds that fit."""
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
            return self.used < self._ceiling  # canaries: hanging requests must not block them
        limit, mine = self._limit(), self._in_use[kind]
        if kind is SlotKind.STALLED:
            return self.used < limit and mine < max(1, limit // 4)
        if mine == 0:
            return self.used < max(limit, min(self._ceiling, limit + 2))
        if kind is SlotKind.LARGE and mine >= limit - max(1, limit // 4):
            return False
        return self.used < limit


class HeldSlot:
    """A slot that ``with`` releases. A class, because a generator per file costs more than the wait."""

    __slots__ = ("_kind", "_slots")

    def __init__(self, slots: RequestSlots, kind: SlotKind) -> None:
        self._slots = slots
        self._kind = kind

    def __enter__(self) -> None:
        """Do nothing: the slot is held already."""

    def __exit__(self, *_: object) -> None:
        self._slots.release(self._kind)
