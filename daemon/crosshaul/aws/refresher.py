"""Keep a destination's credentials fresh: a session of AssumeRole in Account B, or Account A's own credentials.

Each destination has one background refresher, the only caller of STS, so that no upload waits for a refresh (botocore
refreshes on the request's path, ten minutes before expiry, without back-off: docs/ARCHITECTURE.md). Credentials are
used until shortly before they expire, even while STS fails. Expiry is counted from the server's Date on the monotonic
clock, so that a wrong or adjusted system clock changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from crosshaul.aws.base_credentials import STS_DEADLINE_SECONDS, BaseCredentials
from crosshaul.aws.session_policy import session_policies
from crosshaul.aws.sigv4 import Credentials
from crosshaul.concurrency.backoff import Backoff
from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.concurrency.waiting import wait_any
from crosshaul.config import Destination
from crosshaul.errors import ConfigError, Diagnosis, Fault, FaultKind
from crosshaul.telemetry.logs import conceal

_FORCED_INTERVAL_SECONDS = 5.0
"""Between refreshes that rejected credentials cause: a store may reject every session."""
_RETRY_WAIT_SECONDS = 5.0
"""Wait of a caller for the next attempt after a failed one."""
_SUSPECT_AGE_SECONDS = 60.0
"""Age from which an AccessDenied may mean that the session was revoked."""


@dataclass(frozen=True, slots=True)
class Session:
    """Credentials with start and end on the monotonic clock (end None: they don't expire)."""

    credentials: Credentials
    start: float
    end: float | None
    external_id: str | None = None
    """The external ID in use, such as ``1 of 2``."""

    def usable_until(self) -> float:
        """Return a minute before the end; a fifteenth of the lifetime for sessions under 15 minutes."""
        if self.end is None:
            return float("inf")
        return self.end - min(60.0, (self.end - self.start) / 15)

    def refresh_at(self, jitter: float) -> float:
        """Return ten minutes, or a fifth of a shorter life, before the end; ``jitter`` (0 to 1) adds up to a tenth."""
        if self.end is None:
            return self.start + 300.0
        lead = min(600.0, (self.end - self.start) / 5)
        return self.end - lead * (1 + jitter / 10)


class CredentialObserver(Protocol):
    """Observer of a destination's refreshes."""

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        """Note new credentials; ``external_id``: the one in use, such as ``1 of 2``."""

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """Note a failed refresh; the old credentials are valid for ``expires_in`` more seconds."""


def _as_fault(error: Exception) -> Fault:
    if isinstance(error, Fault):
        return error
    if isinstance(error, ConfigError):
        return Fault(Diagnosis(FaultKind.DESTINATION, "ExternalId", " ".join(error.faults), "AssumeRole"))
    if isinstance(error, TimeoutError):
        text = f"no response from Account A's credential provider or STS within {STS_DEADLINE_SECONDS:.0f} s"
        return Fault(Diagnosis(FaultKind.NETWORK, "ReadTimeout", text, "AssumeRole"))
    # Only the type's name: the text may quote what a provider read, such as a program's output.
    text = f"can't load Account A's credentials: {type(error).__name__} in the credential chain"
    return Fault(Diagnosis(FaultKind.DESTINATION, type(error).__name__, text, "Credentials"))


async def _use_base_credentials(
    base_credentials: BaseCredentials, _destination: Destination, clock: Clock, _threads: ThreadPool
) -> Session:
    return Session(await base_credentials.credentials(), clock.monotonic(), None)


async def _assume_role(
    base_credentials: BaseCredentials, destination: Destination, clock: Clock, threads: ThreadPool
) -> Session:
    """Call AssumeRole with each external ID until one is accepted: STS returns AccessDenied for a wrong one."""
    external_ids: tuple[str | None, ...] = await threads.run(destination.external_ids) or (None,)
    policies = await threads.run(session_policies, destination)
    conceal(*filter(None, external_ids))
    for number, external_id in enumerate(external_ids, 1):
        try:
            session = await _with_narrowest_policy(
                base_credentials, [parameters(destination, external_id, policy) for policy in policies], clock
            )
            return replace(session, external_id=f"{number} of {len(external_ids)}" if external_id else None)
        except Fault as fault:
            if number == len(external_ids) or fault.diagnosis.code != "AccessDenied":
                raise
    raise AssertionError  # the last iteration returns or raises


async def _with_narrowest_policy(
    base_credentials: BaseCredentials, requests: Sequence[dict[str, Any]], clock: Clock
) -> Session:
    """Return a session with the narrowest policy that STS accepts: only STS knows its packed size with the tags."""
    for number, request in enumerate(requests, 1):
        start = clock.monotonic()
        try:
            return _session(await base_credentials.assume_role(request), start, clock)
        except Fault as fault:
            if number == len(requests) or fault.diagnosis.code != "PackedPolicyTooLarge":
                raise
    raise AssertionError  # the last iteration returns or raises


def parameters(destination: Destination, external_id: str | None, policy: str | None) -> dict[str, Any]:
    """Return AssumeRole's parameters; ``policy`` is the session policy."""
    parameters = {
        "RoleArn": destination.role_arn,
        "RoleSessionName": destination.role_session_name,
        "DurationSeconds": destination.duration_seconds,
        "ExternalId": external_id,
        "Policy": policy,
        "SourceIdentity": destination.source_identity,
        "Tags": [{"Key": key, "Value": value} for key, value in destination.session_tags.items()],
    }
    return {name: value for name, value in parameters.items() if value not in (None, [])}


def _session(response: dict[str, Any], start: float, clock: Clock) -> Session:
    given = response["Credentials"]
    expiration: datetime = given["Expiration"]
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    # Date is truncated to whole seconds.
    server_now = parsedate_to_datetime(date).timestamp() + 1 if date else clock.now()
    conceal(given["SecretAccessKey"], given["SessionToken"])
    life = max(1.0, expiration.timestamp() - server_now)
    return Session(
        Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]), start, start + life
    )


class Refresher:
    """Credentials of one destination; ``run`` refreshes them in the background."""

    def __init__(
        self, base_credentials: BaseCredentials, destination: Destination, clock: Clock, observer: CredentialObserver
    ) -> None:
        self._base_credentials = base_credentials
        self._destination = destination
        self._clock = clock
        self._observer = observer
        self._open_session = _assume_role if destination.role_arn else _use_base_credentials
        self._session: Session | None = None
        self._fault: Fault | None = None
        self._requested = asyncio.Event()
        self._attempting = False
        self._attempt_ended = asyncio.Condition()
        self._forced_at = float("-inf")

    def expires_in(self) -> float | None:
        """Return the seconds until the credentials expire; None without credentials or expiry."""
        if self._session is None or self._session.end is None:
            return None
        return self._session.end - self._clock.monotonic()

    @property
    def external_id(self) -> str | None:
        """The external ID of the session, such as ``1 of 2``."""
        return self._session.external_id if self._session else None

    async def credentials(self) -> Credentials:
        """Return credentials that S3 should accept now.

        Raises Fault(DESTINATION) without any, after the attempt under way or the next one has failed.
        """
        session = self._current()
        if session is None:
            # The last error of STS is old, and the next attempt is already scheduled.
            await self._next_attempt()
            session = self._current()
        if session is None:
            raise self._fault or _expired(self._destination.name)
        return session.credentials

    def _current(self) -> Session | None:
        session = self._session
        return session if session is not None and self._clock.monotonic() < session.usable_until() else None

    async def renew(self, rejected: Credentials) -> None:
        """Replace ``rejected``, unless it is replaced already. Concurrent callers share one refresh."""
        if self._session is None or self._session.credentials != rejected:
            return
        if not (self._attempting or self._requested.is_set()):
            now = self._clock.monotonic()
            if now - self._forced_at < _FORCED_INTERVAL_SECONDS:
                return
            self._forced_at = now
            self._base_credentials.forget()
            self._requested.set()
        await self._next_attempt()

    def suspect(self) -> None:
        """Refresh an older session after an AccessDenied: the session may be revoked."""
        now = self._clock.monotonic()
        if self._session is not None and now - self._session.start >= _SUSPECT_AGE_SECONDS:
            self._requested.set()

    async def _next_attempt(self) -> None:
        with contextlib.suppress(TimeoutError):
            timeout = 2 * STS_DEADLINE_SECONDS if self._attempting or self._fault is None else _RETRY_WAIT_SECONDS
            async with asyncio.timeout(timeout), self._attempt_ended:
                await self._attempt_ended.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run for the length of the block, for callers without a supervisor."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh before each expiry with jitter, after a failure with back-off, until ``stop``."""
        failures = 0
        # Its own thread: a hung file system with the external ID's file blocks only this one.
        threads = ThreadPool(1, f"secrets-{self._destination.name}")
        try:
            while not stop.is_set():
                failures = 0 if await self._attempt_and_notify(threads) else failures + 1
                await self._wait(self._next_delay(failures), stop)
        finally:
            threads.close()

    async def _attempt_and_notify(self, threads: ThreadPool) -> bool:
        """Make an attempt and wake the callers that wait for it."""
        self._attempting = True
        self._requested.clear()
        try:
            return await self._attempt(threads)
        finally:
            self._attempting = False
            async with self._attempt_ended:
                self._attempt_ended.notify_all()

    async def _attempt(self, threads: ThreadPool) -> bool:
        try:
            # Covers the external ID's file, and providers that run a program or call a metadata service.
            async with asyncio.timeout(STS_DEADLINE_SECONDS):
                self._session = await self._open_session(
                    self._base_credentials, self._destination, self._clock, threads
                )
        except Exception as error:  # noqa: BLE001 - after any error of a provider the next attempt is due
            fault = _as_fault(error)
            # For files every error of STS is a fault of the destination.
            self._fault = Fault(replace(fault.diagnosis, kind=FaultKind.DESTINATION))
            self._base_credentials.forget()
            self._observer.refused(self._destination.name, fault.diagnosis, self.expires_in())
            return False
        self._fault = None
        self._observer.renewed(self._destination.name, self.expires_in(), self.external_id)
        return True

    def _next_delay(self, failures: int) -> float:
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        if failures:
            return max(0.2, _BACKOFF.delay(failures - 1, 0.5 + jitter / 2))
        assert self._session is not None  # noqa: S101 - a success has set it
        return max(0.2, self._session.refresh_at(jitter) - self._clock.monotonic())

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        await wait_any(stop.wait(), self._requested.wait(), self._clock.sleep(seconds))


_BACKOFF = Backoff(initial=1.0, max=60.0)


def _expired(name: str) -> Fault:
    text = f"the credentials for {name} have expired and could not be renewed yet"
    return Fault(Diagnosis(FaultKind.DESTINATION, "ExpiredToken", text, "AssumeRole"))
