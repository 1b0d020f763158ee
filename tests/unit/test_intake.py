"""Intake with a real file system, a real journal and the real clock."""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crosshaul.clock import SystemClock
from crosshaul.config import Route
from crosshaul.errors import SourceError
from crosshaul.intake import Intake
from crosshaul.journal import Journal
from crosshaul.journal.reader import Reader
from crosshaul.model import Changed, Record, RouteStatus, State


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    warning = error = info

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.lines if event == name]


class Metrics:
    def __init__(self) -> None:
        self.lost = 0

    def lost_events(self, route: str, n: int) -> None:
        self.lost += n


class World:
    """A root, a journal, and an intake between them."""

    def __init__(self, tmp_path: Path, journal: Journal) -> None:
        self.state_dir = tmp_path / "state"
        self.root = tmp_path / "root"
        self.journal = journal
        self.log = Log()
        self.metrics = Metrics()
        self.admitted_at: dict[bytes, float] = {}
        self.admissions = 0

    def intake(self, **route: object) -> Intake:
        settings: dict[str, object] = {"name": "r", "path": self.root, "destination": "d", **route}
        return Intake(Route(**settings), self, SystemClock(), self.metrics, self.log, "host", "in/")  # type: ignore[arg-type]

    # The journal as intake sees it, with the time of each admission noted.

    async def admit(self, settled) -> None:
        await self.journal.admit(settled)
        for one in settled:
            self.admitted_at.setdefault(one.sighting.path, time.monotonic())
            self.admissions += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    async def record(self, path: bytes) -> Record | None:
        return await self.journal.find("r", path)

    async def until(self, path: bytes, state: State = State.PENDING, within: float = 5.0) -> Record:
        async with asyncio.timeout(within):
            while (record := await self.record(path)) is None or record.state is not state:
                await asyncio.sleep(0.005)
        return record

    def records(self) -> dict[bytes, Record]:
        reader = Reader.open(self.state_dir)
        try:
            return {record.path: record for record in reader.records(None, None, None)}
        finally:
            reader.close()

    def status(self) -> RouteStatus | None:
        reader = Reader.open(self.state_dir)
        try:
            return next(iter(reader.routes()), None)
        finally:
            reader.close()

    @asynccontextmanager
    async def running(self, **route: object) -> AsyncIterator[Intake]:
        """An intake at work, whose first walk is over."""
        intake, stop = self.intake(**route), asyncio.Event()
        task = asyncio.create_task(intake.run(stop))
        try:
            await self.eventually(lambda: (s := self.status()) is not None and s.last_scan_at is not None)
            yield intake
        finally:
            stop.set()
            await asyncio.wait_for(task, 5)

    async def eventually(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "root").mkdir()
    journal = await Journal.open(tmp_path / "state", SystemClock())
    yield World(tmp_path, journal)
    await journal.close()


OLD = (1_600_000_000, 1_600_000_000)


async def test_a_rename_into_place_is_admitted_at_once_whatever_the_quiet_time(world: World):
    """With quiet at 30 s, a file that is renamed into place is in the journal within a second."""
    async with world.running(settle={"quiet": 30, "max_wait": 60}):
        (world.root / ".tmp").write_bytes(b"x")
        (world.root / ".tmp").rename(world.root / "final")
        began = time.monotonic()
        record = await world.until(b"final")
        assert world.admitted_at[b"final"] - began < 1.0
        assert record.key == "in/final"
        assert await world.record(b".tmp") is None


async def test_a_slow_writer_is_not_taken_before_it_is_quiet(world: World):
    """A file that is written to every 50 ms is admitted a quiet time after the last write, and not before."""
    async with world.running(settle={"quiet": 0.4, "max_wait": 60}):
        with (world.root / "slow").open("wb", buffering=0) as file:
            for _ in range(16):
                file.write(b"x")
                last = time.monotonic()
                await asyncio.sleep(0.05)
        record = await world.until(b"slow")
        assert record.fingerprint.size == 16
        assert 0.35 <= world.admitted_at[b"slow"] - last < 0.8
        assert world.admissions == 1
