"""A destination's credentials: those that AssumeRole gives in Account B, or Account A's own.

One background refresher per destination. It is the only caller of STS, so that a refresh never stands on a request's
path (botocore refreshes there, ten minutes before expiry, with no back-off: docs/ARCHITECTURE.md). Credentials are used
until shortly before their end, however STS is; expiry is counted from the server's own Date on the monotonic clock,
so that neither a wrong nor a jumping clock shortens or stretches a session.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
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

_FORCED_INTERVAL = 5.0
"""Seconds between refreshes that rejected credentials ask for: a store that refuses all is not asked for more."""
_PATIENCE = 5.0
"""Seconds that a caller waits for the next attempt after a failed one."""
_SUSPECT_AFTER = 60.0
"""Seconds that a session must have lived before an AccessDenied casts doubt on it."""


@dataclass(frozen=True, slots=True)
class Session:
    """Credentials and their end, on the monotonic clock (None: they don't end, or renew themselves)."""

    credentials: Credentials
    began: float
    ends: float | None
    external_id: str | None = None
    """Which of the external IDs it was had with, such as ``1 of 2``."""

    def usable_until(self) -> float:
        """A minute before the end; for sessions shorter than a quarter of an hour a fifteenth of their life before."""
        if self.ends is None:
            return float("inf")
        return self.ends - min(60.0, (self.ends - self.began) / 15)

    def refresh_at(self, jitter: float) -> float:
        """Ten minutes, or a fifth of a shorter life, before the end; up to a tenth of that earlier by ``jitter``."""
        if self.ends is None:
            return self.began + 300.0
        lead = min(600.0, (self.ends - self.began) / 5)
        return self.ends - lead * (1 + jitter / 10)


class CredentialObserver(Protocol):
    """Who is told how refreshing goes."""

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        """New credentials are in use; had with the external ID that is ``1 of 2``, say."""

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """A refresh failed; the old credentials are used for ``expires_in`` more seconds."""


def _as_fault(error: Exception) -> Fault:
    if isinstance(error, Fault):
        return error
    if isinstance(error, ConfigError):
        return Fault(Diagnosis(FaultKind.DESTINATION, "ExternalId", " ".join(error.faults), "AssumeRole"))
    if isinstance(error, TimeoutError):
        text = f"no response from Account A's credential provider or STS within {STS_DEADLINE_SECONDS:.0f} s"
        return Fault(Diagnosis(FaultKind.NETWORK, "ReadTimeout", text, "AssumeRole"))
    # Only its name: what a provider read (a program's output) may stand in its text.
    text = f"can't load Account A's credentials: {type(error).__name__} in the credential chain"
    return Fault(Diagnosis(FaultKind.DESTINATION, type(error).__name__, text, "Credentials"))


async def _direct(chain: BaseCredentials, _destination: Destination, clock: Clock, _threads: ThreadPool) -> Session:
    return Session(await chain.credentials(), clock.monotonic(), None)


async def _assume(chain: BaseCredentials, destination: Destination, clock: Clock, threads: ThreadPool) -> Session:
    """AssumeRole with each external ID in turn: a list is a rotation under way; AccessDenied means "the other one"."""
    external_ids: tuple[str | None, ...] = await threads.run(destination.external_ids) or (None,)
    policies = await threads.run(session_policies, destination)
    conceal(*filter(None, external_ids))
    for number, external_id in enumerate(external_ids, 1):
        try:
            session = await _narrowest(chain, [parameters(destination, external_id, each) for each in policies], clock)
            return replace(session, external_id=f"{number} of {len(external_ids)}" if external_id else None)
        except Fault as fault:
            if number == len(external_ids) or fault.diagnosis.code != "AccessDenied":
                raise
    raise AssertionError  # the last round returns or raises


async def _narrowest(chain: BaseCredentials, ways: Sequence[dict[str, Any]], clock: Clock) -> Session:
    """A session with the narrowest policy that STS takes: how far it packs one with the tags, only STS knows."""
    for number, asked in enumerate(ways, 1):
        began = clock.monotonic()
        try:
            return _session(await chain.assume_role(asked), began, clock)
        except Fault as fault:
            if number == len(ways) or fault.diagnosis.code != "PackedPolicyTooLarge":
                raise
    raise AssertionError  # the last round returns or raises


def parameters(destination: Destination, external_id: str | None, policy: str | None) -> dict[str, Any]:
    """AssumeRole's parameters; ``policy`` is the session policy."""
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


def _session(answer: dict[str, Any], began: float, clock: Clock) -> Session:
    given = answer["Credentials"]
    expiration: datetime = given["Expiration"]
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    # Date is cut to whole seconds, so that up to one more has passed.
    server_now = parsedate_to_datetime(date).timestamp() + 1 if date else clock.now()
    conceal(given["SecretAccessKey"], given["SessionToken"])
    life = max(1.0, expiration.timestamp() - server_now)
    return Session(
        Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]), began, began + life
    )


class Refresher:
    """A destination's credentials, kept fresh in the background; ``run`` is a service, the rest is for callers."""

    def __init__(
        self, chain: BaseCredentials, destination: Destination, clock: Clock, watcher: CredentialObserver
    ) -> None:
        self._chain = chain
        self._destination = destination
        self._clock = clock
        self._watcher = watcher
        self._obtain = _assume if destination.role_arn else _direct
        self._session: Session | None = None
        self._fault: Fault | None = None
        self._wanted = asyncio.Event()
        self._attempting = False
        self._attempted = asyncio.Condition()
        self._forced_at = float("-inf")

    def expires_in(self) -> float | None:
        """Seconds until the present credentials end; None when there are none or they don't end."""
        if self._session is None or self._session.ends is None:
            return None
        return self._session.ends - self._clock.monotonic()

    @property
    def external_id(self) -> str | None:
        """Which of the external IDs the present session was had with, such as ``1 of 2``."""
        return self._session.external_id if self._session else None

    async def credentials(self) -> Credentials:
        """Credentials that S3 should accept now.

        Raises Fault(DESTINATION) when there are none, with what STS says to the attempt under way or to the next one.
        """
        session = self._usable()
        if session is None:
            # What STS said last is old; the next attempt comes unasked.
            await self._next_attempt()
            session = self._usable()
        if session is None:
            raise self._fault or _expired(self._destination.name)
        return session.credentials

    def _usable(self) -> Session | None:
        session = self._session
        return session if session is not None and self._clock.monotonic() < session.usable_until() else None

    async def renew(self, rejected: Credentials) -> None:
        """Have ``rejected`` replaced, unless that has happened already. Many callers share one refresh."""
        if self._session is None or self._session.credentials != rejected:
            return
        if not (self._attempting or self._wanted.is_set()):
            now = self._clock.monotonic()
            if now - self._forced_at < _FORCED_INTERVAL:
                return
            self._forced_at = now
            self._chain.forget()
            self._wanted.set()
        await self._next_attempt()

    def suspect(self) -> None:
        """S3 refuses without calling the session expired: it may be revoked, so get another, but not all the time."""
        now = self._clock.monotonic()
        if self._session is not None and now - self._session.began >= _SUSPECT_AFTER:
            self._wanted.set()

    async def _next_attempt(self) -> None:
        with contextlib.suppress(TimeoutError):
            patience = 2 * STS_DEADLINE_SECONDS if self._attempting or self._fault is None else _PATIENCE
            async with asyncio.timeout(patience), self._attempted:
                await self._attempted.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh ahead of each expiry, with jitter; after a failure with back-off; until ``stop``."""
        failures = 0
        # One thread of its own: a hung file system under the external ID's file takes no more than that.
        threads = ThreadPool(1, f"secrets-{self._destination.name}")
        try:
            while not stop.is_set():
                failures = 0 if await self._tried(threads) else failures + 1
                await self._pause(self._next_due(failures), stop)
        finally:
            threads.close()

    async def _tried(self, threads: ThreadPool) -> bool:
        """An attempt, and everybody told who waits for one."""
        self._attempting = True
        self._wanted.clear()
        try:
            return await self._attempt(threads)
        finally:
            self._attempting = False
            async with self._attempted:
                self._attempted.notify_all()

    async def _attempt(self, threads: ThreadPool) -> bool:
        try:
            # Over everything: the chain may run a program of the user's, or ask a metadata service.
            async with asyncio.timeout(STS_DEADLINE_SECONDS):
                self._session = await self._obtain(self._chain, self._destination, self._clock, threads)
        except Exception as error:  # noqa: BLE001 - whatever a provider in the chain raises, the next attempt is due
            fault = _as_fault(error)
            # Whatever STS's trouble is, for the files it is the destination's: none of them is to blame.
            self._fault = Fault(replace(fault.diagnosis, kind=FaultKind.DESTINATION))
            self._chain.forget()
            self._watcher.refused(self._destination.name, fault.diagnosis, self.expires_in())
            return False
        self._fault = None
        self._watcher.renewed(self._destination.name, self.expires_in(), self.external_id)
        return True

    def _next_due(self, failures: int) -> float:
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        if failures:
            return max(0.2, _BACKOFF.delay(failures - 1, 0.5 + jitter / 2))
        assert self._session is not None  # noqa: S101 - a success has set it
        return max(0.2, self._session.refresh_at(jitter) - self._clock.monotonic())

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        await wait_any(stop.wait(), self._wanted.wait(), self._clock.sleep(seconds))


_BACKOFF = Backoff(initial=1.0, max=60.0)


def _expired(name: str) -> Fault:
    text = f"the credentials for {name} have expired and could not be renewed yet"
    return Fault(Diagnosis(FaultKind.DESTINATION, "ExpiredToken", text, "AssumeRole"))
