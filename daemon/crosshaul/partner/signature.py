"""Signature Version 4, verified from scratch.

Sources: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API Reference (header, query string), and
"Create a signed AWS API request" of the IAM User Guide.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote_from_bytes, unquote_to_bytes

from crosshaul.partner.errors import Refusal, access_denied, invalid_request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_SKEW = 15 * 60
_STAMP = "%Y%m%dT%H%M%SZ"
_UNRESERVED = "-._~"
_MAX_EXPIRES = 7 * 24 * 3600
_KEYS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it stands on the wire: ``path`` and ``query`` are not decoded; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the caller says about its signature, from the header or from the query."""

    credential: tuple[str, str, str, str]
    """Access key id, date, region, service."""
    stamp: str
    signed_headers: tuple[str, ...]
    signature: str
    token: str | None
    payload: str
    expires: int | None = None
    """Seconds; set for a presigned URL."""

    @property
    def access_key_id(self) -> str:
        """Whose signature it is meant to be."""
        return self.credential[0]

    @property
    def date(self) -> str:
        """The day of the credential scope."""
        return self.credential[1]

    @property
    def region(self) -> str:
        """The region of the credential scope."""
        return self.credential[2]

    @property
    def service(self) -> str:
        """The service of the credential scope."""
        return self.credential[3]

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"

    @property
    def signed_at(self) -> float:
        """Seconds since the epoch; raises Refusal (AccessDenied) when the stamp is no ISO 8601 basic time."""
        try:
            return _moment(self.stamp)
        except ValueError:
            raise access_denied("AWS authentication requires a valid Date or x-amz-date header") from None


@functools.lru_cache(maxsize=64)
def _moment(text: str) -> float:
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC).timestamp()


def stamp(moment: float) -> str:
    """A time as SigV4 writes it."""
    return time.strftime(_STAMP, time.gmtime(moment))


def _malformed(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", message)


def _bad_query(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "AuthorizationQueryParametersError", message)


def _pairs(query: str) -> list[tuple[bytes, bytes]]:
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(_decode_query(name), _decode_query(value)) for name, _, value in parts]


def _decode_query(text: str) -> bytes:
    return _unquote(text.replace("+", " "))


def _unquote(text: str) -> bytes:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))


def query_values(query: str) -> dict[str, str]:
    """The query decoded; of a name that comes twice the first counts."""
    values: dict[str, str] = {}
    for name, value in _pairs(query):
        values.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return values


def claim(request: Received, query: Mapping[str, str]) -> Claimed | None:
    """What the request says about its signature, None for an anonymous one; raises Refusal when it says it badly."""
    header = request.headers.get("authorization")
    if header is not None:
        return _claim_in_header(request, header)
    return _claim_in_query(query) if "X-Amz-Algorithm" in query else None


_HEADER = re.compile(r"Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]+)")


def _claim_in_header(request: Received, header: str) -> Claimed:
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise invalid_request(
            f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
        )
    match = _HEADER.fullmatch(rest.strip())
    if match is None:
        raise _malformed("The authorization header is malformed; the authorization component is invalid.")
    credential = _credential(match[1])
    if credential is None:
        message = "The authorization header is malformed; the Credential is mal-formed; expecting "
        raise _malformed(f'{message}"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
    return Claimed(
        credential,
        stamp=request.headers.get("x-amz-date", ""),
        signed_headers=tuple(match[2].split(";")),
        signature=match[3],
        token=request.headers.get("x-amz-security-token"),
        payload=request.headers.get("x-amz-content-sha256", ""),
    )


def _credential(text: str) -> tuple[str, str, str, str] | None:
    match text.split("/"):
        case [key, date, region, service, "aws4_request"]:
            return key, date, region, service
    return None


def _claim_in_query(query: Mapping[str, str]) -> Claimed:
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
    credential = _credential(query.get("X-Amz-Credential", ""))
    if query["X-Amz-Algorithm"] != ALGORITHM or any(name not in query for name in names) or credential is None:
        raise _bad_query(f"Query-string authentication version 4 requires the X-Amz-Algorithm, {', '.join(names)}")
    expires = query["X-Amz-Expires"]
    if not expires.isdigit() or int(expires) > _MAX_EXPIRES:
        raise _bad_query("X-Amz-Expires must be a number less than a week (in seconds)")
    return Claimed(
        credential,
        stamp=query["X-Amz-Date"],
        signed_headers=tuple(query["X-Amz-SignedHeaders"].split(";")),
        signature=query["X-Amz-Signature"],
        token=query.get("X-Amz-Security-Token"),
        payload=UNSIGNED,
        expires=int(expires),
    )


def check_time(claimed: Claimed, now: float, *, service: str) -> None:
    """Raise Refusal when the request was signed over 15 minutes off, or when a presigned URL is over."""
    signed_at = claimed.signed_at
    if not claimed.stamp.startswith(claimed.date):
        raise _malformed("Invalid credential date. This date is not the same as X-Amz-Date.")
    if claimed.expires is not None and signed_at + claimed.expires < now:
        raise access_denied("Request has expired")
    if (claimed.expires is None and now - signed_at > MAX_SKEW) or signed_at - now > MAX_SKEW:
        raise _skewed(claimed, now, service)


def _skewed(claimed: Claimed, now: float, service: str) -> Refusal:
    if service == "sts":
        early = claimed.signed_at > now
        limit = stamp(now + MAX_SKEW if early else now - MAX_SKEW)
        words = "Signature not yet current: {} is still later than {}" if early else (
            "Signature expired: {} is now earlier than {}"
        )  # fmt: skip
        message = f"{words.format(claimed.stamp, limit)} ({stamp(now)} {'+' if early else '-'} 15 min.)"
        return Refusal(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", message)
    return Refusal(
        HTTPStatus.FORBIDDEN,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        {
            "RequestTime": claimed.stamp,
            "ServerTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "MaxAllowedSkewMilliseconds": str(MAX_SKEW * 1000),
        },
    )


def check_signed_headers(request: Received, claimed: Claimed) -> None:
    """Raise Refusal when Host or an ``x-amz-`` header that came is not covered by the signature."""
    signed = set(claimed.signed_headers)
    if "host" not in signed:
        raise _malformed("The authorization header is malformed; 'Host' must be a 'SignedHeader'.")
    missing = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if missing:
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            {"HeadersNotSigned": ", ".join(missing)},
        )


def encode_path(raw: bytes) -> str:
    """A path as S3's canonical request has it: each byte encoded once, nothing normalised."""
    return quote_from_bytes(raw, safe="/" + _UNRESERVED)


def _canonical_query(query: str) -> str:
    encoded = [
        (quote_from_bytes(name, safe=_UNRESERVED), quote_from_bytes(value, safe=_UNRESERVED))
        for name, value in _pairs(query)
        if name != b"X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def decode_path(path: str) -> bytes:
    """The bytes of a path; S3 reads a bare plus sign as a space."""
    return _unquote(path.replace("+", " ") if "+" in path else path)


def canonical_request(request: Received, claimed: Claimed, payload: str) -> str:
    """The canonical request that the signature must be of."""
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in claimed.signed_headers)
    return "\n".join((
        request.method,
        encode_path(decode_path(request.path)),
        _canonical_query(request.query) if request.query else "",
        headers,
        ";".join(claimed.signed_headers),
        payload,
    ))  # fmt: skip


class Verifier:
    """Checks signatures; keeps the signing keys that it derived."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], bytes] = {}

    def signing_key(self, secret: str, claimed: Claimed) -> bytes:
        """The key for one secret, day, region and service."""
        name = (secret, claimed.scope)
        key = self._keys.get(name)
        if key is None:
            key = b"AWS4" + secret.encode()
            for word in claimed.scope.split("/"):
                key = sign(key, word)
            if len(self._keys) > _KEYS_KEPT:
                self._keys.clear()
            self._keys[name] = key
        return key

    def verify(self, request: Received, claimed: Claimed, secret: str, payload: str) -> None:
        """Raise Refusal (SignatureDoesNotMatch) unless the signature is the secret's holder's."""
        canonical = canonical_request(request, claimed, payload)
        digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        to_sign = f"{ALGORITHM}\n{claimed.stamp}\n{claimed.scope}\n{digest}"
        expected = sign(self.signing_key(secret, claimed), to_sign).hex()
        if not hmac.compare_digest(expected, claimed.signature):
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                {
                    "AWSAccessKeyId": claimed.access_key_id,
                    "StringToSign": to_sign,
                    "SignatureProvided": claimed.signature,
                    "CanonicalRequest": canonical.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
                },
            )


def sign(key: bytes, text: str) -> bytes:
    """HMAC-SHA256."""
    return hmac.digest(key, text.encode(), "sha256")
