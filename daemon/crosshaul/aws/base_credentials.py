"""Account A's own credentials from AWS's standard chain, and the two STS calls that they sign."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError

from crosshaul.aws import credential_providers, error_map, http1, sdk_models, tls_contexts
from crosshaul.aws.error_codes import CHECK_PROXY
from crosshaul.aws.sigv4 import Credentials
from crosshaul.concurrency.loop_thread import LoopThread
from crosshaul.config import IdentityConfig
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.telemetry.redact import conceal

T = TypeVar("T")

_REQUIRED_FIELDS = frozenset({"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"})
STS_DEADLINE_SECONDS = 40.0
"""For one call to STS, loading the credentials included."""
_THREAD = LoopThread("credentials", http1.install_resolver)
"""botocore's providers read the home directory, tokens and caches in the event loop; here that loop is their own."""


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Principal of Account A's credentials, from GetCallerIdentity."""

    account: str
    arn: str
    source: str
    """The credential provider, by botocore's name (``env``, ``sso``, ``iam-role``, ...)."""
    server_time: float | None
    """STS's clock, in seconds since the epoch."""


class BaseCredentials:
    """Account A's credentials from the standard chain (environment, profile, SSO, IRSA, ECS, EC2).

    Every method raises Fault and nothing else.
    """

    def __init__(self, config: IdentityConfig, ca_bundle: Path | None = None) -> None:
        """``ca_bundle``: authorities to trust besides those of the process."""
        self._config = config
        self._ca_bundle = ca_bundle
        self._tls = tls_contexts.ContextLoader(partial(tls_contexts.for_identity, config.profile, ca_bundle))
        self._session: aioboto3.Session | None = None
        self._others: dict[Path | None, BaseCredentials] = {}

    def trusting(self, ca_bundle: Path | None) -> BaseCredentials:
        """Return the credentials for a destination with this ``tls_ca_bundle``, which no other destination trusts."""
        if ca_bundle == self._ca_bundle:
            return self
        return self._others.setdefault(ca_bundle, BaseCredentials(self._config, ca_bundle))

    def forget(self) -> None:
        """Load the credentials again at the next use: files or environment may have changed."""
        self._session = None

    async def credentials(self) -> Credentials:
        """Return Account A's present credentials."""
        return (await _in_thread("Credentials", self._load))[0]

    async def caller(self) -> CallerIdentity:
        """Call GetCallerIdentity, which needs no permission."""
        response, source = await self._call("GetCallerIdentity", "get_caller_identity", {})
        if not {"Account", "Arn"} <= response.keys():
            raise _unexpected("the response names no identity", "GetCallerIdentity")
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        at = parsedate_to_datetime(date).timestamp() if date else None
        return CallerIdentity(response["Account"], response["Arn"], source, at)

    async def assume_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call AssumeRole and return its response, whose ``Credentials`` are complete and valid in form."""
        response, _ = await self._call("AssumeRole", "assume_role", parameters)
        given = response.get("Credentials", {})
        if not given.keys() >= _REQUIRED_FIELDS:
            raise _unexpected("the response contains no credentials", "AssumeRole")
        if wrong := credential_providers.flaw(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]):
            raise _unexpected(f"the credentials in the response can't be used: {wrong}", "AssumeRole")
        return response

    async def _call(self, operation: str, method: str, parameters: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Call STS; return the response and the name of the provider of the credentials."""
        return await _in_thread(operation, partial(self._call_sts, operation, method, parameters))

    async def _call_sts(self, operation: str, method: str, parameters: dict[str, Any]) -> tuple[dict[str, Any], str]:
        try:
            own, source = await self._load()
            # Other stores accept what AWS refuses, such as sessions of a minute: there STS itself checks.
            config = AioConfig(parameter_validation=self._config.sts_endpoint_url is None)
            keys = {
                "aws_access_key_id": own.access_key_id,
                "aws_secret_access_key": own.secret_access_key,
                "aws_session_token": own.session_token,
            }
            async with self._opened().client("sts", config=config, **keys) as client:
                return await _parsed(getattr(client, method)(**parameters)), source
        except error_map.FOREIGN as error:
            raise error_map.from_botocore(operation, error) from error

    async def _load(self) -> tuple[Credentials, str]:
        """Return the credentials, and the name of their provider."""
        try:
            loaded = await self._opened().get_credentials()
        except Fault:
            raise
        except credential_providers.ProviderError as error:
            raise credential_providers.fault_of(error.method, error.cause) from error
        except Exception as error:  # a broken file, while the providers are created
            raise credential_providers.fault_of("", error) from error
        if loaded is None:
            raise _no_credentials()
        try:
            frozen = await loaded.get_frozen_credentials()
        except Exception as error:
            raise credential_providers.fault_of(loaded.method, error) from error
        credentials = credential_providers.checked(frozen, loaded.method)
        conceal(credentials.secret_access_key, credentials.session_token or "")
        return credentials, loaded.method

    def _opened(self) -> aioboto3.Session:
        session = self._session
        if session is None:
            session = self._session = self._open()
        return session

    def _open(self) -> aioboto3.Session:
        try:
            session = sdk_models.open_session(self._config.profile, "sts", self._tls, self._config.sts_endpoint_url)
        except BotoCoreError as error:
            raise credential_providers.fault_of("", error) from error
        return aioboto3.Session(botocore_session=session, region_name=self._config.region)


async def _in_thread(operation: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` in the credentials' thread, within ``STS_DEADLINE_SECONDS``."""
    try:
        async with asyncio.timeout(STS_DEADLINE_SECONDS):
            return await _THREAD.run(work)
    except TimeoutError as error:
        text = f"no response from Account A's credential provider or STS within {STS_DEADLINE_SECONDS:.0f} s"
        raise Fault(Diagnosis(FaultKind.NETWORK, "ReadTimeout", text, operation)) from error


async def _parsed(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Return STS's response; {} for a well-formed 200 of others, such as a sign-in page in XHTML."""
    try:
        return await call
    except (KeyError, ValueError):  # botocore's parser misses an element, or can't read a time
        return {}


def _unexpected(text: str, operation: str) -> Fault:
    message = f"{text}, so STS did not send it (is there a proxy?)"
    return Fault(Diagnosis(FaultKind.NETWORK, "UnexpectedResponse", message, operation, 200, advice=CHECK_PROXY))


def _no_credentials() -> Fault:
    advice = "Configure Account A's credentials: environment, `identity.profile`, SSO, or the machine's role."
    text = "no credentials of Account A found in the standard chain"
    return Fault(Diagnosis(FaultKind.DESTINATION, "NoCredentials", text, "Credentials", advice=advice))
