"""Account A's own credentials, by the standard chain, and the one call that they are for: sts:AssumeRole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError

from crosshaul.aws import faults, models
from crosshaul.aws.codes import STRANGER
from crosshaul.aws.direct import DirectSession
from crosshaul.aws.sigv4 import Credentials
from crosshaul.config import Identity as IdentityConfig
from crosshaul.errors import Diagnosis, Fault, Kind

_STS_CONFIG = AioConfig(
    connect_timeout=10,
    read_timeout=15,
    retries={"total_max_attempts": 1},  # the refresher has a back-off of its own
    http_session_cls=DirectSession,
)
_GIVEN = frozenset({"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"})
STS_DEADLINE = 40.0
"""Seconds for one AssumeRole, its credentials included."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials Account A has."""

    account: str
    arn: str
    source: str
    """The part of the chain that gave them, by botocore's name (``env``, ``sso``, ``iam-role``, ...)."""
    server_time: float | None
    """STS's clock, in seconds since the epoch."""


class Chain:
    """Account A's credentials by the standard chain (environment, profile, SSO, IRSA, ECS, EC2)."""

    def __init__(self, config: IdentityConfig) -> None:
        self._config = config
        self._session: aioboto3.Session | None = None

    async def session(self) -> aioboto3.Session:
        """The aioboto3 session; raises Fault if the profile doesn't exist."""
        if self._session is None:
            # In a thread: reading the service models takes botocore tenths of a second.
            self._session = await asyncio.to_thread(self._open)
        return self._session

    def _open(self) -> aioboto3.Session:
        try:
            session = models.session(self._config.profile, "sts")
        except BotoCoreError as error:
            raise faults.from_botocore("Credentials", error) from error
        return aioboto3.Session(botocore_session=session, region_name=self._config.region)

    def forget(self) -> None:
        """Read the chain anew at the next use: the credentials on disk or in the environment may be others now."""
        self._session = None

    async def credentials(self) -> Credentials:
        """Account A's own credentials now; raises Fault where there are none."""
        session = await self.session()
        try:
            found = await session.get_credentials()
            if found is None:
                raise _no_credentials()
            frozen = await found.get_frozen_credentials()
        except BotoCoreError as error:
            raise faults.from_botocore("Credentials", error) from error
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def caller(self) -> Caller:
        """GetCallerIdentity, which nobody needs a right for; raises Fault."""
        session = await self.session()
        endpoint = self._config.sts_endpoint_url
        try:
            found = await session.get_credentials()
            if found is None:
                raise _no_credentials()
            async with (
                asyncio.timeout(STS_DEADLINE),
                session.client("sts", endpoint_url=endpoint, config=_STS_CONFIG) as client,
            ):
                answer: dict[str, Any] = await client.get_caller_identity()
        except faults.FOREIGN as error:
            raise faults.from_botocore("GetCallerIdentity", error) from error
        except TimeoutError as error:
            text = f"STS gave no answer within {STS_DEADLINE:.0f} s"
            raise Fault(Diagnosis(Kind.NETWORK, "ReadTimeout", text, "GetCallerIdentity")) from error
        if not {"Account", "Arn"} <= answer.keys():
            text = "the answer names no identity, so it is not STS that answers (is there a proxy?)"
            raise Fault(Diagnosis(Kind.NETWORK, "SenselessAnswer", text, "GetCallerIdentity", 200, advice=STRANGER))
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        at = parsedate_to_datetime(date).timestamp() if date else None
        return Caller(answer["Account"], answer["Arn"], found.method, at)

    async def assume_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """One AssumeRole; raises Fault."""
        session = await self.session()
        endpoint = self._config.sts_endpoint_url
        try:
            if await session.get_credentials() is None:
                raise _no_credentials()
            async with session.client("sts", endpoint_url=endpoint, config=_STS_CONFIG) as client:
                return await _answered(client.assume_role(**parameters))
        except faults.FOREIGN as error:
            raise faults.from_botocore("AssumeRole", error) from error


async def _answered(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """What STS gives; any well-formed document with a 200 (a sign-in page in XHTML) gets past botocore's parser."""
    try:
        answer = await call
    except (KeyError, ValueError):  # how that parser misses an element, or a time in one
        answer = {}
    if not answer.get("Credentials", {}).keys() >= _GIVEN:
        text = "the answer has no credentials in it, so it is not STS that answers (is there a proxy?)"
        raise Fault(Diagnosis(Kind.NETWORK, "SenselessAnswer", text, "AssumeRole", 200, advice=STRANGER))
    return answer


def _no_credentials() -> Fault:
    advice = "Give Account A credentials: environment, `identity.profile`, SSO, or the machine's own role."
    text = "Account A has no credentials anywhere in the standard chain"
    return Fault(Diagnosis(Kind.DESTINATION, "NoCredentials", text, "Credentials", advice=advice))
