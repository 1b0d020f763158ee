"""The connection of a store's parts to its writer and its reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from crosshaul.concurrency.clock import Clock
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.writer import Writer
from crosshaul.model import PlanId

T = TypeVar("T")


class StoreBase:
    """Holds the writer, the reader and its thread, and the plans in force."""

    def __init__(self, clock: Clock, writer: Writer, reader: Reader) -> None:
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._read_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="crosshaul-journal-read")
        self._plans: dict[str, PlanId] = {}
        self._due_callbacks: list[Callable[[], None]] = []

    def on_due(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` in the loop whenever files may have become due."""
        self._due_callbacks.append(callback)

    def _notify_due(self) -> None:
        for callback in self._due_callbacks:
            callback()

    def _plans_of(self, routes: Sequence[str]) -> dict[str, int]:
        return {route: self._plans[route].id if route in self._plans else 0 for route in routes}

    async def _read(self, query: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, query)
