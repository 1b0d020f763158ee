"""The one map from foreign errors (S3 and STS answers, botocore, the wire) to ours.

Sources: AWS "Error responses" of the S3 API reference, "Common errors" of the STS API reference, and
docs/ARCHITECTURE.md, "Facts".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import RestXMLParser

from crosshaul.aws.http1 import Answer, WireError
from crosshaul.errors import Diagnosis, Fault, Kind

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "ExpiredTokenException", "TokenRefreshRequired"), Kind.EXPIRED),
    **dict.fromkeys(
        (
            *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted", "Throttling"),
            *("ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "503", "500", "502", "504", "429"),
        ),
        Kind.THROTTLED,
    ),
    **dict.fromkeys(
        (
            *("KeyTooLongError", "EntityTooLarge", "MetadataTooLarge", "InvalidTag", "InvalidURI"),
            *("InvalidObjectName", "XMinioInvalidObjectName"),
        ),
        Kind.FILE,
    ),
    **dict.fromkeys(
        (
            *("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest"),
            "IncompleteBody",
        ),
        Kind.CORRUPT,
    ),
    **dict.fromkeys(
        ("NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "ConditionalRequestConflict"),
        Kind.RESTART_UPLOAD,
    ),
    "PreconditionFailed": Kind.EXISTS,
    "412": Kind.EXISTS,
    "NotImplemented": Kind.UNSUPPORTED,
}
_UNSUPPORTED_HINTS = ("checksum", "algorithm")

_ADVICE: dict[str, str] = {
    "AccessDenied": "Account B's admin: do the role's policy, the bucket policy and any KMS key policy allow it?",
    "NoSuchBucket": "Check `bucket` and `endpoint_url`, or ask Account B's admin for the bucket's name.",
    "PermanentRedirect": "Set the destination's `region` to the bucket's own.",
    "AuthorizationHeaderMalformed": "Set the destination's `region` to the bucket's own.",
    "IllegalLocationConstraintException": "Set the destination's `region` to the bucket's own.",
    "RequestTimeTooSkewed": "Set this machine's clock (is NTP running?).",
    "InvalidAccessKeyId": "Account A: the access key does not exist (any more); set up the credentials anew.",
    "SignatureDoesNotMatch": "Check the secret access key, and that no proxy changes the request.",
    "KMS.NotFoundException": "Check `ssekms_key_id` (the full key ARN) with Account B's admin.",
    "KMS.DisabledException": "Account B's admin: enable the KMS key.",
    "KMS.KMSInvalidStateException": "Account B's admin: the KMS key can't be used in its present state.",
    "AccessControlListNotSupported": "The bucket takes no ACLs: set `acl: null`.",
    "InvalidStorageClass": "Check `storage_class`.",
    "KeyTooLongError": "Shorten the path or the `key` template: a key has at most 1,024 bytes.",
    "EntityTooLarge": "The file is larger than the store takes.",
    "MetadataTooLarge": "Shorten `metadata`: at most 2 KB in all.",
    "PreconditionFailed": "Another object has this key, and the route says `overwrite: never`: change `key`.",
    "NoCredentials": "Give Account A credentials: environment, `identity.profile`, SSO, or the machine's own role.",
    "ProfileNotFound": "Check `identity.profile`.",
    "PackedPolicyTooLarge": "Set `session_policy: none`, or shorten the policy.",
    "RegionDisabledException": "Set `identity.region` to one in which Account B has STS enabled.",
    "TLSError": "Check the endpoint's name and `tls_ca_bundle`.",
    "DNSError": "Check `endpoint_url` and `region`, and this machine's resolver.",
}
_STS_DENIED = (
    "Either Account A's policy does not allow sts:AssumeRole on this role, or the role's trust policy (Account B) names "
    "another principal or another external ID."
)
_STS_DURATION = "Lower `duration_seconds`: it exceeds the role's MaxSessionDuration, or 3600 where roles are chained."


def kind_of(code: str, status: int | None, message: str = "") -> Kind:
    """What an AWS error code means; unknown ones go by their HTTP status."""
    if code in _KINDS:
        return _KINDS[code]
    if code in {"InvalidRequest", "InvalidArgument"} and any(word in message.lower() for word in _UNSUPPORTED_HINTS):
        return Kind.UNSUPPORTED
    if status is not None and (status >= 500 or status in {408, 429}):  # noqa: PLR2004 - HTTP's own numbers
        return Kind.THROTTLED
    return Kind.DESTINATION


def from_answer(operation: str, answer: Answer) -> Fault:
    """The fault in an S3 answer that the wire brought: an error status with or without an XML body."""
    headers = answer.headers
    parsed: Mapping[str, Any] = RestXMLParser().parse(
        {"status_code": max(answer.status, 301), "headers": dict(headers), "body": answer.body}, None
    )
    error = parsed.get("Error", {})
    code = str(error.get("Code") or answer.status)
    message = str(error.get("Message") or "the store gave no reason")
    region = headers.get("x-amz-bucket-region") or error.get("Region")
    request_id = headers.get("x-amz-request-id") or error.get("RequestId")
    return _fault(operation, code, message, answer.status, request_id, region, headers.get("retry-after"))


def from_wire(operation: str, error: WireError) -> Fault:
    """The fault in a call to which no (whole) answer came."""
    kind = Kind.DESTINATION if error.code in {"TLSError", "ProxyError"} else Kind.NETWORK
    advice = _ADVICE.get(error.code, "")
    return Fault(Diagnosis(kind, error.code, str(error), operation, advice=advice, ambiguous=error.ambiguous))


def from_botocore(operation: str, error: BotoCoreError | ClientError) -> Fault:
    """The fault in a call that aioboto3 made."""
    if isinstance(error, ClientError):
        return _from_client_error(operation, error)
    return _from_botocore_error(operation, error)


def _from_client_error(operation: str, error: ClientError) -> Fault:
    details: Mapping[str, Any] = error.response.get("Error", {})
    meta: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode")
    headers: Mapping[str, str] = meta.get("HTTPHeaders", {})
    code = str(details.get("Code") or status)
    message = str(details.get("Message") or "no reason was given")
    region = headers.get("x-amz-bucket-region") or details.get("Region")
    return _fault(operation, code, message, status, meta.get("RequestId"), region, headers.get("retry-after"))


def _fault(
    operation: str,
    code: str,
    message: str,
    status: int | None,
    request_id: str | None,
    region: str | None,
    retry_after: str | None,
) -> Fault:
    kind = kind_of(code, status, message)
    # 5xx says nothing about whether the request took effect (S3 API reference, InternalError).
    ambiguous = status is not None and (status >= 500 or (status == 200 and code != "PreconditionFailed"))  # noqa: PLR2004
    pause = float(retry_after) if retry_after and retry_after.isdigit() else None
    advice = _advice(operation, code, message, region)
    text = " ".join(message.split())
    return Fault(Diagnosis(kind, code, text, operation, status, request_id, advice, pause, ambiguous))


def _advice(operation: str, code: str, message: str, region: str | None) -> str:
    if operation.startswith("AssumeRole"):
        if code == "AccessDenied":
            return _STS_DENIED
        if code == "ValidationError" and "DurationSeconds" in message:
            return _STS_DURATION
    if region and code in {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "400"}:
        return f"Set the destination's `region` to {region}."
    return _ADVICE.get(code, "")


def _from_botocore_error(operation: str, error: BotoCoreError) -> Fault:
    code, kind = _code_of(error)
    message = " ".join(str(error).split())
    ambiguous = kind is Kind.NETWORK and not isinstance(error, ConnectTimeoutError)
    return Fault(Diagnosis(kind, code, message, operation, advice=_ADVICE.get(code, ""), ambiguous=ambiguous))


def _code_of(error: BotoCoreError) -> tuple[str, Kind]:
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return "NoCredentials", Kind.DESTINATION
        case ProfileNotFound() | ConfigNotFound():
            return "ProfileNotFound", Kind.DESTINATION
        case SSLError():
            return "TLSError", Kind.DESTINATION
        case ProxyConnectionError():
            return "ProxyError", Kind.DESTINATION
        case ConnectTimeoutError():
            return "ConnectTimeout", Kind.NETWORK
        case ReadTimeoutError():
            return "ReadTimeout", Kind.NETWORK
        case BotoConnectionError() | HTTPClientError() | IncompleteReadError():
            return "ConnectionError", Kind.NETWORK
        case _:
            # The rest are faults of our own settings (endpoint, parameters, credential process).
            return type(error).__name__.removesuffix("Error"), Kind.DESTINATION
