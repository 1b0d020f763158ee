"""Parse and check the signature fields of a request: Authorization header, or query of a presigned URL.

Source: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API Reference.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from crosshaul.partner.errors import ApiError, access_denied, invalid_request
from crosshaul.partner.raw_request import RawRequest

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_SKEW_SECONDS = 15 * 60
_STAMP_FORMAT = "%Y%m%dT%H%M%SZ"
_MAX_EXPIRES_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Authorization:
    """The signature fields of a request, from its Authorization header or its query."""

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
        """The access key of the caller."""
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
        """Seconds since the epoch; raises ApiError (AccessDenied) when the time is not in ISO 8601 basic format."""
        try:
            return _timestamp(self.stamp)
        except ValueError:
            raise access_denied("AWS authentication requires a valid Date or x-amz-date header") from None


@functools.lru_cache(maxsize=64)
def _timestamp(text: str) -> float:
    return datetime.strptime(text, _STAMP_FORMAT).replace(tzinfo=UTC).timestamp()


def stamp(timestamp: float) -> str:
    """Format a time as SigV4 writes it."""
    return time.strftime(_STAMP_FORMAT, time.gmtime(timestamp))


def _malformed(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", message)


def _bad_query(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "AuthorizationQueryParametersError", message)


def parse_authorization(request: RawRequest, query: Mapping[str, str]) -> Authorization | None:
    """Parse the signature fields; None for an anonymous request. Raises ApiError when they are malformed."""
    header = request.headers.get("authorization")
    if header is not None:
        return _parse_header(request, header)
    return _parse_query(query) if "X-Amz-Algorithm" in query else None


_HEADER = re.compile(r"Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]+)")


def _parse_header(request: RawRequest, header: str) -> Authorization:
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
    return Authorization(
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


def _parse_query(query: Mapping[str, str]) -> Authorization:
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
    credential = _credential(query.get("X-Amz-Credential", ""))
    if query["X-Amz-Algorithm"] != ALGORITHM or any(name not in query for name in names) or credential is None:
        raise _bad_query(f"Query-string authentication version 4 requires the X-Amz-Algorithm, {', '.join(names)}")
    expires = query["X-Amz-Expires"]
    if not expires.isdigit() or int(expires) > _MAX_EXPIRES_SECONDS:
        raise _bad_query("X-Amz-Expires must be a number less than a week (in seconds)")
    return Authorization(
        credential,
        stamp=query["X-Amz-Date"],
        signed_headers=tuple(query["X-Amz-SignedHeaders"].split(";")),
        signature=query["X-Amz-Signature"],
        token=query.get("X-Amz-Security-Token"),
        payload=UNSIGNED,
        expires=int(expires),
    )


def check_time(authorization: Authorization, now: float, *, service: str) -> None:
    """Raise ApiError when the signing time is over 15 minutes off, or a presigned URL has expired."""
    signed_at = authorization.signed_at
    if not authorization.stamp.startswith(authorization.date):
        raise _malformed("Invalid credential date. This date is not the same as X-Amz-Date.")
    if authorization.expires is not None and signed_at + authorization.expires < now:
        raise access_denied("Request has expired")
    if (authorization.expires is None and now - signed_at > MAX_SKEW_SECONDS) or signed_at - now > MAX_SKEW_SECONDS:
        raise _skewed(authorization, now, service)


def _skewed(authorization: Authorization, now: float, service: str) -> ApiError:
    if service == "sts":
        early = authorization.signed_at > now
        limit = stamp(now + MAX_SKEW_SECONDS if early else now - MAX_SKEW_SECONDS)
        template = "Signature not yet current: {} is still later than {}" if early else (
            "Signature expired: {} is now earlier than {}"
        )  # fmt: skip
        message = f"{template.format(authorization.stamp, limit)} ({stamp(now)} {'+' if early else '-'} 15 min.)"
        return ApiError(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", message)
    return ApiError(
        HTTPStatus.FORBIDDEN,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        {
            "RequestTime": authorization.stamp,
            "ServerTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "MaxAllowedSkewMilliseconds": str(MAX_SKEW_SECONDS * 1000),
        },
    )


def check_signed_headers(request: RawRequest, authorization: Authorization) -> None:
    """Raise ApiError when the signature does not cover Host and every ``x-amz-`` header."""
    signed = set(authorization.signed_headers)
    if "host" not in signed:
        raise _malformed("The authorization header is malformed; 'Host' must be a 'SignedHeader'.")
    missing = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if missing:
        raise ApiError(
            HTTPStatus.FORBIDDEN,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            {"HeadersNotSigned": ", ".join(missing)},
        )
