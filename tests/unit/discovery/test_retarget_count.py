"""The time that a start takes to count files that are sent again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from crosshaul.config import Destination, Route
from crosshaul.discovery import retarget_count
from crosshaul.model import PlanId, RoutePlan


class EndlessJournal:
    """A journal with an endless number of records."""

    async def is_in_force(self, wanted: RoutePlan) -> bool:
        return False

    async def plan(self, wanted: RoutePlan) -> PlanId:
        return PlanId(1, 1, wanted.by_content)

    async def delivered_of_other_plans(self, route: str, plan: int, after: int):
        await asyncio.sleep(0.02)
        return [], after + 1


async def test_many_routes_are_counted_no_longer_than_one(monkeypatch: pytest.MonkeyPatch):
    """The time limit is for all routes together."""
    monkeypatch.setattr(retarget_count, "_MAX_COUNT_SECONDS", 0.5)
    routes = [Route(name=f"r{number}", path=Path("/srv"), destination="d") for number in range(100)]
    partner = Destination(name="d", bucket="inbox", region="eu-central-1", role_arn="arn:aws:iam::123456789012:role/x")
    config = SimpleNamespace(routes=routes, destinations={"d": partner})
    began = time.monotonic()
    assert await retarget_count.retargets_of(EndlessJournal(), config, "host") == []  # type: ignore[arg-type]
    assert time.monotonic() - began < 25
