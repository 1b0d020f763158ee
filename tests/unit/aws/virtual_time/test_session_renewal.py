"""refresher: sessions are renewed ahead of their end, hour after hour, and an outage of STS is survived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.refresher import Refresher
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis, Fault, FaultKind
from support.virtual_time import VirtualClock


class Sts:
    """AssumeRole of sessions of ``life`` seconds. While it is ``away`` it returns 503."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.away = False
        self.sessions = 0

    async def assume_role(self, _parameters: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.1)
        if self.away:
            raise Fault(Diagnosis(FaultKind.NETWORK, "ServiceUnavailable", "away", "AssumeRole", 503))
        self.sessions += 1
        end = datetime.fromtimestamp(VirtualClock().now() + self.life, UTC)
        session = f"session-{self.sessions}"
        return {
            "Credentials": {
                "AccessKeyId": session, "SecretAccessKey": "secret-key", "SessionToken": session, "Expiration": end,
            }
        }  # fmt: skip

    def forget(self) -> None:
        """Do nothing: Account A's credentials are not part of these tests."""


class Observer:
    """Records renewals and refusals with their times."""

    def __init__(self) -> None:
        self.renewed_at: list[float] = []
        self.refusals: list[str] = []

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        self.renewed_at.append(now())

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        self.refusals.append(diagnosis.code)


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def refreshing(sts: Sts) -> AsyncIterator[tuple[Refresher, Observer]]:
    observer = Observer()
    partner = Destination(name="partner", bucket="bucket", role_arn="arn:aws:iam::222222222222:role/r")
    refresher = Refresher(cast("BaseCredentials", sts), partner, VirtualClock(), observer)
    async with refresher.running():
        yield refresher, observer


@pytest.mark.parametrize(("life", "least", "most"), [(15.0, 1.0, 13.0), (900.0, 60.0, 730.0), (3600.0, 60.0, 3010.0)])
async def test_no_caller_ever_gets_credentials_that_are_about_to_expire(life: float, least: float, most: float):
    """Credentials of any moment in a hundred lives of a session are valid for ``least`` seconds and never older."""
    sts = Sts(life)
    async with refreshing(sts) as (refresher, observer):
        for _ in range(5_000):
            await refresher.credentials()
            assert (refresher.expires_in() or 0.0) >= least
            await asyncio.sleep(life / 50)
    ages = [later - earlier for earlier, later in zip(observer.renewed_at, observer.renewed_at[1:], strict=False)]
    assert max(ages) <= most
    assert min(ages) > life / 2
    assert observer.refusals == []


async def test_an_outage_of_sts_leaves_the_session_in_use_and_ends_by_itself():
    """While STS fails, callers get the session that they had until a minute before its end; then a new one unasked."""
    sts = Sts(3600.0)
    async with refreshing(sts) as (refresher, observer):
        first = await refresher.credentials()
        sts.away = True
        while now() < 3_530:
            assert await refresher.credentials() == first
            await asyncio.sleep(10)
        assert set(observer.refusals) == {"ServiceUnavailable"}
        assert 5 < len(observer.refusals) < 40  # with a back-off of up to a minute
        await asyncio.sleep(60)
        with pytest.raises(Fault) as caught:
            await refresher.credentials()
        assert (caught.value.kind, caught.value.diagnosis.code) == (FaultKind.DESTINATION, "ServiceUnavailable")
        sts.away = False
        await asyncio.sleep(61)
        assert len(observer.renewed_at) == 2
        assert await refresher.credentials() != first
