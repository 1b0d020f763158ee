"""The state of the account that all requests share."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crosshaul.partner.errors import ApiError
from crosshaul.partner.identity import AccountPolicies, CredentialStore
from crosshaul.partner.settings import Settings
from crosshaul.partner.signature import SignatureVerifier
from crosshaul.partner.store import Bucket, Spool


@dataclass(frozen=True, slots=True)
class Call:
    """An entry of the call log. ``at`` is the arrival in monotonic seconds; ``size`` is the payload in bytes."""

    operation: str
    key: str
    part: int | None
    status: int | None
    """None when no complete response was sent."""
    code: str
    """The error code; empty on success."""
    size: int
    at: float
    seconds: float
    access_key_id: str
    request_id: str
    fault: str
    """The kind of the scripted fault; empty for none."""

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return asdict(self)


class AccountState:
    """Settings, compiled policies, credentials, buckets and the call log."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policies = AccountPolicies.of(settings)
        self.credentials = CredentialStore(settings)
        self.verifier = SignatureVerifier()
        self.spool = Spool(settings.spool)
        self.calls: deque[Call] = deque(maxlen=settings.calls_kept)
        regions = {settings.bucket: settings.region, **settings.other_buckets}
        self.buckets = {name: Bucket(name, region, settings.partner_account) for name, region in regions.items()}

    def change(self, values: Mapping[str, Any]) -> None:
        """Change settings at run time; raises ValueError or ApiError and then changes nothing."""
        before = {name: getattr(self.settings, name) for name in values if hasattr(self.settings, name)}
        self.settings.update(values)
        try:
            self.policies = AccountPolicies.of(self.settings)
        except ApiError:
            self.settings.update(before)
            raise

    def now(self) -> float:
        """The account's clock, in seconds since the epoch."""
        return time.time() + self.settings.clock_skew

    def secrets(self) -> list[str]:
        """List every secret of the account, past sessions included."""
        external_id = self.settings.external_id
        own = [self.settings.secret_access_key, *([external_id] if external_id else [])]
        return [*own, *self.credentials.secrets()]
