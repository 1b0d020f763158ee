"""The partner account: a context manager that serves S3 and STS while it is open."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from crosshaul.partner.control import PREFIX
from crosshaul.partner.fault_rules import FaultScript
from crosshaul.partner.policy import Policy
from crosshaul.partner.server import Server
from crosshaul.partner.settings import Settings
from crosshaul.partner.state import AccountState, Call
from crosshaul.partner.store import StoredObject, Upload

_MAX_LINE_BYTES = 64 * 1024
_LINGER_SECONDS = 2.0


class PartnerAccount:
    """Account B, with Account A's user and the role between them, on a loopback port.

    ``async with PartnerAccount(Settings(...)) as account``: raises OSError when the port is taken, ApiError when a
    policy document is malformed.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.faults = FaultScript()
        """The script of faults."""
        self._state = AccountState(self.settings)
        self._runner: web.ServerRunner | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        server = web.Server(
            Server(self._state, self.faults).handle,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self.settings.keepalive_timeout,
            lingering_time=_LINGER_SECONDS,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port, ssl_context=self._tls(), backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.to_thread(self._state.spool.close)

    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.settings.tls_certificate, self.settings.tls_key)
        return context

    @property
    def endpoint_url(self) -> str:
        """The URL of S3, and of STS."""
        scheme = "https" if self.settings.tls_certificate else "http"
        return f"{scheme}://{self.settings.host}:{self._port}"

    @property
    def sts_endpoint_url(self) -> str:
        """The URL of STS."""
        return self.endpoint_url

    @property
    def control_url(self) -> str:
        """The URL of the control API."""
        return self.endpoint_url + PREFIX.rstrip("/")

    @property
    def access_key_id(self) -> str:
        """A key of Account A's user."""
        return self.settings.access_key_id

    @property
    def secret_access_key(self) -> str:
        """A key of Account A's user."""
        return self.settings.secret_access_key

    @property
    def role_arn(self) -> str:
        """The role that the user may assume."""
        return self.settings.role_arn

    @property
    def external_id(self) -> str | None:
        """The external ID that the role's trust policy requires."""
        return self.settings.external_id

    @property
    def bucket(self) -> str:
        """The bucket that the role may write to."""
        return self.settings.bucket

    @property
    def region(self) -> str:
        """The region of the bucket and of the endpoint."""
        return self.settings.region

    @property
    def calls(self) -> deque[Call]:
        """The call log, oldest first, up to ``Settings.calls_kept``."""
        return self._state.calls

    @property
    def objects(self) -> dict[str, StoredObject]:
        """The objects of the bucket, by key."""
        return self._state.buckets[self.settings.bucket].objects

    @property
    def uploads(self) -> dict[str, Upload]:
        """Unfinished multipart uploads of the bucket, by id."""
        return self._state.buckets[self.settings.bucket].uploads

    def read(self, key: str) -> bytes:
        """Read an object (blocking); raises KeyError."""
        return self.objects[key].read()

    def change(self, **values: object) -> None:
        """Change settings at run time; raises ValueError or ApiError."""
        self._state.change(values)

    def revoke_sessions(self, code: str = "ExpiredToken") -> None:
        """Refuse every existing session with ``code`` (ExpiredToken, InvalidToken, AccessDenied)."""
        self._state.credentials.revoke(code)

    def secrets(self) -> list[str]:
        """List every secret of the account, past sessions included."""
        return self._state.secrets()

    def session_policy(self, access_key_id: str) -> Policy | None:
        """Return the session policy of a session; None when it has none."""
        caller = self._state.credentials.find(access_key_id)
        return caller.session_policy if caller else None

    def describe(self) -> Mapping[str, str | None]:
        """Return all that a client needs, including secrets."""
        names = (
            "endpoint_url", "sts_endpoint_url", "access_key_id", "secret_access_key", "role_arn", "external_id",
            "bucket", "region", "control_url",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
