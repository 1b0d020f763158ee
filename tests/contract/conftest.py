"""A store of each kind, in a directory and with a clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crosshaul.journal import JournalStore
from support.journal_contract import FACTORIES, Factory
from support.virtual_time import ManualClock


@pytest.fixture(params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    return FACTORIES[request.param]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def store(factory: Factory, state_dir: Path, clock: ManualClock) -> AsyncIterator[JournalStore]:
    opened = await factory.open(state_dir, clock)
    yield opened
    await opened.close()
