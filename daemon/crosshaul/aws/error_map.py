"""Map errors of S3, STS, botocore and the HTTP client to faults. ``error_codes`` has the meaning of each code.

A fault's texts are short single lines without secrets, even where the peer chose the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from crosshaul.aws import returned_ids
from crosshaul.aws.error_body import elements
from crosshaul.aws.error_codes import ADVICE, advice_for, kind_of
from crosshaul.aws.http1 import Response, TransportError
from crosshaul.aws.sdk_transport import RefusedError
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.telemetry.redact import redact

FOREIGN = (BotoCoreError, ClientError, ResponseParserError, TransportError)
"""Errors that a call through the SDK may raise; ``from_botocore`` accepts each."""

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MAX_MESSAGE_CHARACTERS = 500
_MAX_HOST_CHARACTERS = 128
_MAX_RETRY_AFTER_SECONDS = 3600.0
"""Upper bound of a Retry-After."""
# STS quotes the request it expected, session token included, and parameters that break its rules.
_QUOTED_REQUEST = re.compile(r"The Canonical String for this request.*", re.DOTALL)
_QUOTED_EXTERNAL_ID = re.compile(r"Value '.*' at 'externalId'", re.DOTALL)


def from_response(operation: str, response: Response) -> Fault:
    """Return the fault of an S3 error response, with or without an XML body."""
    details = elements(response.body)
    return _fault(operation, response.status, response.headers, details, resent=response.resent)


def from_transport(operation: str, error: TransportError) -> Fault:
    """Return the fault of a call without a complete response."""
    kind = FaultKind.DESTINATION if error.code in {"TLSError", "ProxyError"} else FaultKind.NETWORK
    advice = ADVICE.get(error.code, "")
    return Fault(Diagnosis(kind, error.code, one_line(str(error)), operation, advice=advice, ambiguous=error.ambiguous))


def from_botocore(operation: str, error: BotoCoreError | ClientError | ResponseParserError | TransportError) -> Fault:
    """Return the fault of a call through the SDK; ``error`` is one of ``FOREIGN``."""
    if isinstance(error, TransportError):
        return from_transport(operation, error)
    if isinstance(error, RefusedError):
        return from_response(operation, error.response)
    if isinstance(error, ClientError):
        meta: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
        details = {"RequestId": meta.get("RequestId"), **error.response.get("Error", {})}
        return _fault(operation, meta.get("HTTPStatusCode"), meta.get("HTTPHeaders", {}), details)
    code, kind = _code_of(error)
    ambiguous = kind is FaultKind.NETWORK and not isinstance(error, ConnectTimeoutError)
    advice = ADVICE.get(code, "")
    return Fault(Diagnosis(kind, code, _message_of(error), operation, advice=advice, ambiguous=ambiguous))


def _fault(
    operation: str,
    status: int | None,
    headers: Mapping[str, str],
    details: Mapping[str, object],
    *,
    resent: bool = False,
) -> Fault:
    code = _matching(_CODE, details.get("Code")) or str(status)
    message = one_line(details.get("Message") or "") or _unexplained(status, headers)
    kind = kind_of(operation, code, status, message)
    region = _matching(_REGION, headers.get("x-amz-bucket-region")) or _matching(_REGION, details.get("Region"))
    request_id = headers.get("x-amz-request-id") or headers.get("x-amzn-requestid") or details.get("RequestId")
    return Fault(
        Diagnosis(
            kind,
            code,
            message,
            operation,
            status,
            returned_ids.request_id(request_id),
            advice_for(operation, code, message, region),
            _retry_after(headers.get("retry-after")),
            resent or _may_have_happened(operation, code, kind, status),
        )
    )


def _unexplained(status: int | None, headers: Mapping[str, str]) -> str:
    """Describe an error response without a message, as proxies send them."""
    if status is not None and 300 <= status < 400:  # noqa: PLR2004 - HTTP's own numbers
        return f"redirected{_redirect_host(headers)}; Crosshaul follows no redirect (is there a proxy?)"
    if "html" in headers.get("content-type", "").lower():
        return "a web page instead of a response from S3 or STS (is there a proxy?)"
    if status is not None and status < 300:  # noqa: PLR2004
        return f"a {status} response that S3 and STS never send (is there a proxy?)"
    return "no reason given"


def _redirect_host(headers: Mapping[str, str]) -> str:
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:
        host = None
    return f" to {one_line(host)[:_MAX_HOST_CHARACTERS]}" if host else ""


def _may_have_happened(operation: str, code: str, kind: FaultKind, status: int | None) -> bool:
    if operation == "CompleteMultipartUpload" and code == "NoSuchUpload":
        return True  # an earlier Complete, whose response was lost, ended the upload
    # 5xx says nothing about whether the request took effect (S3 API reference, InternalError).
    return kind is FaultKind.THROTTLED and status is not None and (status >= 500 or status < 300)  # noqa: PLR2004


def _matching(form: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None


def one_line(message: object) -> str:
    """Return the message as one short printable line without secrets."""
    text = _QUOTED_EXTERNAL_ID.sub("The value at 'externalId'", _QUOTED_REQUEST.sub("", str(message)))
    text = redact(printable(" ".join(text.split())))
    return text if len(text) <= _MAX_MESSAGE_CHARACTERS else f"{text[:_MAX_MESSAGE_CHARACTERS]}..."


def _retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header; S3 stores do not use its other form, a date."""
    seconds = (retry_after or "").strip()
    return min(float(seconds), _MAX_RETRY_AFTER_SECONDS) if re.fullmatch(r"[0-9]{1,9}", seconds) else None


def _message_of(error: BotoCoreError | ResponseParserError) -> str:
    if isinstance(error, ResponseParserError):
        # The error's own text quotes the response, secrets included.
        return "AWS did not send this response (is there a proxy?)"
    return one_line(error)


_CODES: tuple[tuple[tuple[type[Exception], ...], str, FaultKind], ...] = (
    ((ResponseParserError,), "UnparsableResponse", FaultKind.NETWORK),
    ((NoCredentialsError, PartialCredentialsError), "NoCredentials", FaultKind.DESTINATION),
    ((ProfileNotFound, ConfigNotFound), "ProfileNotFound", FaultKind.DESTINATION),
    ((ConnectTimeoutError,), "ConnectTimeout", FaultKind.NETWORK),
    ((ReadTimeoutError,), "ReadTimeout", FaultKind.NETWORK),
    ((BotoConnectionError, HTTPClientError, IncompleteReadError), "ConnectionError", FaultKind.NETWORK),
)
"""The first match counts. All other errors are faults of the configuration (endpoint, parameters, provider)."""


def _code_of(error: BotoCoreError | ResponseParserError) -> tuple[str, FaultKind]:
    for types, code, kind in _CODES:
        if isinstance(error, types):
            return code, kind
    return type(error).__name__.removesuffix("Error"), FaultKind.DESTINATION
