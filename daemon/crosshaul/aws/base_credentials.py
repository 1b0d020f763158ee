"""Account A's own credentials, by the standard chain, and the one call that they are for: sts:AssumeRole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError

from crosshaul.aws import credential_providers, error_map, sdk_models, tls_contexts
from crosshaul.aws.error_codes import CHECK_PROXY
from crosshaul.aws.sigv4 import Credentials
from crosshaul.config import IdentityConfig
from crosshaul.errors import Diagnosis, Fault, FaultKind

_GIVEN = frozenset({"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"})
STS_DEADLINE = 40.0
"""Seconds for one AssumeRole, its credentials included."""


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Whose credentials Account A has."""

    account: str
    arn: str
    source: str
    """The part of the chain that gave them, by botocore's name (``env``, ``sso``, ``iam-role``, ...)."""
    server_time: float | None
    """STS's clock, in seconds since the epoch."""


class BaseCredentials:
    """Account A's credentials by the standard chain (environment, profile, SSO, IRSA, ECS, EC2).

    Every method raises Fault and nothing else.
    """

    def __init__(self, config: IdentityConfig, ca_bundle: Path | None = None) -> None:
        """``ca_bundle``: authorities that are trusted besides those of the process."""
        self._config = config
        self._ca_bundle = ca_bundle
        self._session: aioboto3.Session | None = None
        self._others: dict[Path | None, BaseCredentials] = {}

    def trusting(self, ca_bundle: Path | None) -> BaseCredentials:
        """Return the chain for a destination with this ``tls_ca_bundle``: no other destination's calls trust it."""
        if ca_bundle == self._ca_bundle:
            return self
        return self._others.setdefault(ca_bundle, BaseCredentials(self._config, ca_bundle))

    async def _opened(self) -> aioboto3.Session:
        if self._session is None:
            # In a thread: reading the service models takes botocore tenths of a second.
            self._session = await asyncio.to_thread(self._open)
        return self._session

    def _open(self) -> aioboto3.Session:
        tls = partial(tls_contexts.for_identity, self._config.profile, self._ca_bundle)
        try:
            session = sdk_models.session(self._config.profile, "sts", tls, self._config.sts_endpoint_url)
        except BotoCoreError as error:
            raise credential_providers.told("", error) from error
        return aioboto3.Session(botocore_session=session, region_name=self._config.region)

    def forget(self) -> None:
        """Read the chain anew at the next use: the credentials on disk or in the environment may be others now."""
        self._session = None

    async def credentials(self) -> Credentials:
        """Account A's own credentials now."""
        return (await self._own(await self._opened()))[0]

    async def _own(self, session: aioboto3.Session) -> tuple[Credentials, str]:
        """The credentials, and which provider gave them."""
        try:
            found = await session.get_credentials()
        except credential_providers.ProviderError as error:
            raise credential_providers.told(error.method, error.cause) from error
        except Exception as error:  # a broken file, while the providers are being made
            raise credential_providers.told("", error) from error
        if found is None:
            raise _no_credentials()
        try:
            frozen = await found.get_frozen_credentials()
        except Exception as error:
            raise credential_providers.told(found.method, error) from error
        return credential_providers.checked(frozen, found.method), found.method

    async def caller(self) -> CallerIdentity:
        """GetCallerIdentity, which nobody needs a right for."""
        answer, source = await self._call("GetCallerIdentity", "get_caller_identity", {})
        if not {"Account", "Arn"} <= answer.keys():
            text = "the response names no identity, so STS did not send it (is there a proxy?)"
            raise Fault(
                Diagnosis(FaultKind.NETWORK, "UnexpectedResponse", text, "GetCallerIdentity", 200, advice=CHECK_PROXY)
            )
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        at = parsedate_to_datetime(date).timestamp() if date else None
        return CallerIdentity(answer["Account"], answer["Arn"], source, at)

    async def assume_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """One AssumeRole."""
        answer, _ = await self._call("AssumeRole", "assume_role", parameters)
        given = answer.get("Credentials", {})
        if not given.keys() >= _GIVEN:
            raise _unexpected("the response contains no credentials")
        if wrong := credential_providers.flaw(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]):
            raise _unexpected(f"the credentials in the response can't be used: {wrong}")
        return answer

    async def _call(self, operation: str, method: str, parameters: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """One call to STS, and which provider gave the credentials for it."""
        try:
            async with asyncio.timeout(STS_DEADLINE):
                session = await self._opened()
                own, source = await self._own(session)
                # Other stores take what AWS does not, such as sessions of a minute: there STS itself is to judge.
                config = AioConfig(parameter_validation=self._config.sts_endpoint_url is None)
                keys = {
                    "aws_access_key_id": own.access_key_id,
                    "aws_secret_access_key": own.secret_access_key,
                    "aws_session_token": own.session_token,
                }
                async with session.client("sts", config=config, **keys) as client:
                    return await _answered(getattr(client, method)(**parameters)), source
        except error_map.FOREIGN as error:
            raise error_map.from_botocore(operation, error) from error
        except TimeoutError as error:
            text = f"no response from Account A's credential provider or STS within {STS_DEADLINE:.0f} s"
            raise Fault(Diagnosis(FaultKind.NETWORK, "ReadTimeout", text, operation)) from error


async def _answered(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """What STS gives; any well-formed document with a 200 (a sign-in page in XHTML) gets past botocore's parser."""
    try:
        return await call
    except (KeyError, ValueError):  # how that parser misses an element, or a time in one
        return {}


def _unexpected(text: str) -> Fault:
    message = f"{text}, so STS did not send it (is there a proxy?)"
    return Fault(Diagnosis(FaultKind.NETWORK, "UnexpectedResponse", message, "AssumeRole", 200, advice=CHECK_PROXY))


def _no_credentials() -> Fault:
    advice = "Configure Account A's credentials: environment, `identity.profile`, SSO, or the machine's role."
    text = "no credentials of Account A found in the standard chain"
    return Fault(Diagnosis(FaultKind.DESTINATION, "NoCredentials", text, "Credentials", advice=advice))
