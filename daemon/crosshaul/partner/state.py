"""The account's state, as every call sees it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from crosshaul.partner.errors import Refusal, s3_body, sts_body
from crosshaul.partner.exchange import Answer, Exchange
from crosshaul.partner.faults import Faults
from crosshaul.partner.identity import Directory, Policies
from crosshaul.partner.settings import Settings
from crosshaul.partner.signature import Verifier
from crosshaul.partner.store import Bucket, Spool


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was answered, or not. ``at`` is monotonic seconds at its arrival; ``size`` bytes of its payload."""

    operation: str
    key: str
    part: int | None
    status: int | None
    """None when no whole answer went out."""
    code: str
    """The error code; empty when all went well."""
    size: int
    at: float
    seconds: float
    access_key_id: str
    request_id: str
    fault: str
    """The kind of the scripted fault that struck; empty for none."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


class State:
    """Settings and what follows from them, credentials, buckets, faults and the call log."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policies = Policies.of(settings)
        self.directory = Directory(settings)
        self.verifier = Verifier()
        self.spool = Spool(settings.spool)
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=settings.calls_kept)
        regions = {settings.bucket: settings.region, **settings.other_buckets}
        self.buckets = {name: Bucket(name, region, settings.partner_account) for name, region in regions.items()}

    def change(self, values: Mapping[str, Any]) -> None:
        """Change settings at run time; raises ValueError or Refusal and changes nothing for what can't be."""
        before = {name: getattr(self.settings, name) for name in values if hasattr(self.settings, name)}
        self.settings.update(values)
        try:
            self.policies = Policies.of(self.settings)
        except Refusal:
            self.settings.update(before)
            raise

    def now(self) -> float:
        """The account's clock, in seconds since the epoch."""
        return time.time() + self.settings.clock_skew

    def refuse(self, exchange: Exchange, refusal: Refusal) -> Answer:
        """The answer that a refusal makes, in the shape of the service that was called."""
        sts = exchange.target.service == "sts"
        headers = {"Content-Type": "text/xml" if sts else "application/xml", **refusal.headers}
        body = (sts_body if sts else s3_body)(refusal, exchange.request_id)
        if refusal.status == HTTPStatus.NOT_MODIFIED:
            headers, body = refusal.headers, b""
        return Answer(refusal.status, headers, body, code=refusal.code)
