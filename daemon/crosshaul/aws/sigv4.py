"""Sign S3 requests with Signature Version 4; the signing key is derived once per session and day.

The rules are those of "Signature Calculations for the Authorization Header" in the Amazon S3 API Reference: unlike
other services, S3 requires the path neither normalised nor encoded twice. Pure: the time is an argument.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""Payload hash of a body that TLS and a checksum header protect."""
EMPTY_SHA256 = sha256(b"").hexdigest()
"""Payload hash of an empty body."""

_SIGNER_HEADERS = frozenset({"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})
# A proxy, or the client itself, may change these.
_UNSIGNED = frozenset({"connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_BLANK_RUNS = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials; ``repr`` omits the secrets."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class _Mac:
    """HMAC-SHA-256 (RFC 2104) with a prepared key: twice as fast as ``hmac.digest``."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """Prepare a key of at most 64 bytes, SHA-256's block size."""
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def hexdigest(self, message: bytes) -> str:
        """Return the HMAC of a message in hexadecimal."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()


class _Day(NamedTuple):
    """Common parts of all signatures of one UTC day; ``date`` is YYYYMMDD."""

    date: str
    scope: str
    mac: _Mac


def encode_key(key: str) -> str:
    """Percent-encode an object key for a path; unreserved characters and ``/`` stay."""
    return quote(key, safe="/~")


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the query string, encoded and sorted: the one form that is both signed and sent."""
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


class Signer:
    """Signs the requests of one session (one set of credentials) in one region."""

    def __init__(self, credentials: Credentials, region: str, service: str = "s3") -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._today = _Day("", "", _Mac(b""))
        self._second = -1
        self._stamp = ""

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        payload_hash: str,
        now: float,
    ) -> list[tuple[str, str]]:
        """Return the headers to add to the request.

        ``host``: as in the Host header. ``path``: percent-encoded, as it is sent. ``query``: from
        ``encode_query``, as it is sent. ``headers``: all others of the request, names in lower case (``host``
        counts from the argument); all are signed but those that may change on the way. ``payload_hash``: hex SHA-256
        of the body or ``UNSIGNED_PAYLOAD``. ``now``: seconds since the epoch. Raises ValueError when ``headers`` has
        one that is set here.
        """
        stamp = self._timestamp(now)
        day = self._day(stamp[:8])
        added = self._added(stamp, payload_hash)
        names, lines = _canonical_headers(host, added, headers)
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload_hash}"
        digest = sha256(canonical.encode()).hexdigest()
        signature = day.mac.hexdigest(f"AWS4-HMAC-SHA256\n{stamp}\n{day.scope}\n{digest}".encode())
        credential = f"{self._credentials.access_key_id}/{day.scope}"
        value = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        added.append(("authorization", value))
        return added

    def _added(self, stamp: str, payload_hash: str) -> list[tuple[str, str]]:
        added = [("x-amz-date", stamp), ("x-amz-content-sha256", payload_hash)]
        if self._credentials.session_token is not None:
            added.append(("x-amz-security-token", self._credentials.session_token))
        return added

    def _timestamp(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return self._stamp

    def _day(self, date: str) -> _Day:
        if date != self._today.date:
            key = f"AWS4{self._credentials.secret_access_key}".encode()
            for step in (date, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._today = _Day(date, f"{date}/{self._region}/{self._service}/aws4_request", _Mac(key))
        return self._today


def _canonical_headers(host: str, own: list[tuple[str, str]], others: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the names, joined by semicolons, and the lines, each with its line feed."""
    values = dict(own)
    plain = _are_plain([value for _, value in others])
    for name, value in others:
        if name in _UNSIGNED:
            continue
        if name in _SIGNER_HEADERS:
            raise ValueError(f"the signer sets the header {name}")
        trimmed = value if plain else _trim(value)
        values[name] = f"{values[name]},{trimmed}" if name in values else trimmed
    values["host"] = host
    names = sorted(values)
    return ";".join(names), "".join([f"{name}:{values[name]}\n" for name in names])


def _are_plain(values: Sequence[str]) -> bool:
    """Return whether no value needs trimming; one test for all, since trimming is rarely needed."""
    text = "".join(values)
    return text.isascii() and text.isprintable() and " " not in text


def _trim(value: str) -> str:
    if value.isascii():
        return " ".join(value.split())
    # str.split also removes Unicode blanks such as U+00A0, which S3 keeps.
    return _BLANK_RUNS.sub(" ", value).strip(" ")
