"""Give the journal what came to rest, and deal with what it sets aside: its key is another file's, or it can have none.

A key is held while its holder lives. What the journal can't know of a holder, whether it is there still and selected,
is looked up here before a conflict stands; a conflict that stands is logged, as is any other refusal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from crosshaul.discovery.scanner import PathStats
from crosshaul.display import printable
from crosshaul.model import Denial, Settled
from crosshaul.telemetry.failure_streak import is_power_of_two
from crosshaul.telemetry.logger import Logger

_PATIENCE_SECONDS = 5.0
"""How long another route's file system is waited for; one that does not answer has its keys as before."""

Looker = Callable[[str, Sequence[bytes]], Awaitable[PathStats | None]]
"""Looks at paths of a route; None where nothing can be said of them."""


class EnqueueJournal(Protocol):
    """What is needed of the journal."""

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]: ...  # noqa: D102 - see journal/store.py
    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102
    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None: ...  # noqa: D102


class Enqueuer:
    """Admits the files of one route."""

    def __init__(self, journal: EnqueueJournal, look: Looker, log: Logger) -> None:
        self._journal = journal
        self._look = look
        self._log = log
        self._denied: Counter[str] = Counter()

    async def admit(self, settled: Sequence[Settled]) -> None:
        """Queue them; those whose key was held by a file that is there no more as well."""
        denied = await self._journal.admit(settled)
        in_conflict = [denial for denial in denied if denial.holder is not None]
        if in_conflict and await self._free(in_conflict):
            again = await self._journal.admit([denial.settled for denial in in_conflict])
            denied = [denial for denial in denied if denial.holder is None] + list(again)
        for denial in denied:
            self._tell(denial)

    async def _free(self, denied: Sequence[Denial]) -> bool:
        """Whether any of the holders has no right to its key any more."""
        holders: dict[str, list[bytes]] = {}
        for denial in denied:
            if denial.holder is not None:
                holders.setdefault(denial.holder[0], []).append(denial.holder[1])
        freed = False
        for route, paths in holders.items():
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    look = await self._look(route, paths)
                if look is not None:
                    await self._journal.mark_gone(route, look.without_file)
                    await self._journal.mark_excluded(route, look.unwanted)
                    freed = freed or bool(look.without_file or look.unwanted)
        return freed

    def _tell(self, denial: Denial) -> None:
        """The 1st, 2nd, 4th, ... of a kind: whoever may write files may make a million that are refused."""
        sighting, refusal = denial.settled.sighting, denial.refusal
        self._denied[refusal.code] += 1
        count = self._denied[refusal.code]
        if is_power_of_two(count):
            self._log.error(
                "file_quarantined",
                path=printable(sighting.path),
                key=denial.settled.key,
                code=refusal.code,
                error=refusal.message,
                of_this_kind=count,
            )
