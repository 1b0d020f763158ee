"""Errors that S3 and STS may return, and the outcome of each. tests/lies plays each row; docs/ERRORS.md lists them.

Sources: the S3 API reference, "List of error codes" (those of our calls); the STS API
reference, "AssumeRole" and "Common errors"; the KMS API reference, GenerateDataKey and Decrypt, which S3 passes
on; MinIO and Ceph for theirs; RFC 9110 for proxies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """Outcome of an error that occurs once or for a while. No outcome loses a file."""

    AGAIN = "The call is retried, and the file is delivered."
    REFRESHES = "The session is renewed, and the file is delivered. The attempt is not counted."
    STARTS_OVER = "A new multipart upload is started, and the file is delivered."
    DOES_WITHOUT = "The unsupported feature (If-None-Match, a checksum) is omitted, and the file is delivered."
    PARKS = "The destination is parked. Once the error ends, its files are delivered; none is quarantined."
    SETS_ASIDE = "The file is quarantined with this code. Other files are delivered."


PUT = "PutObject"
CREATE = "CreateMultipartUpload"
PART = "UploadPart"
COMPLETE = "CompleteMultipartUpload"
ABORT = "AbortMultipartUpload"
GET = "GetObject"
SENDING = (PUT, CREATE, PART, COMPLETE)


@dataclass(frozen=True)
class Row:
    """One error code, its HTTP status, and the calls that may return it.

    AbortMultipartUpload ignores every row. GetObject, which no delivery calls, reports each as one line.
    """

    code: str
    status: int
    outcome: Outcome
    at: tuple[str, ...] = SENDING
    message: str = "What AWS says."


def _rows(outcome: Outcome, status: int, *codes: str, at: tuple[str, ...] = SENDING) -> tuple[Row, ...]:
    return tuple(Row(code, status, outcome, at) for code in codes)


def _without_code(outcome: Outcome, *statuses: int, at: tuple[str, ...] = SENDING) -> tuple[Row, ...]:
    """Return rows for responses without a code, as proxies send them."""
    return tuple(Row(str(status), status, outcome, at, "") for status in statuses)


_ALGORITHM = "Checksum algorithm provided is unsupported."

S3 = (
    *_rows(Outcome.AGAIN, 503, "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Busy"),
    *_rows(Outcome.AGAIN, 500, "InternalError", "SomethingNew"),
    *_rows(Outcome.AGAIN, 400, "RequestTimeout", "RequestTimeoutException", "BandwidthLimitExceeded"),
    *_rows(Outcome.AGAIN, 409, "OperationAborted"),
    *_rows(Outcome.AGAIN, 409, "ConditionalRequestConflict", at=(PUT,)),
    *_rows(Outcome.AGAIN, 400, "PriorRequestNotComplete", "LimitExceededException", "IDPCommunicationError"),
    *_rows(Outcome.AGAIN, 429, "TooManyRequests", "TooManyRequestsException"),
    *_rows(Outcome.AGAIN, 400, "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
    *_rows(Outcome.AGAIN, 400, "RequestThrottledException", "RequestLimitExceeded"),
    *_rows(Outcome.AGAIN, 400, "KMS.ThrottlingException", "KMS.RequestLimitExceeded", "KMS.LimitExceededException"),
    *_rows(Outcome.AGAIN, 500, "KMS.KMSInternalException", "KMS.InternalException", "KMS.InternalFailure"),
    *_rows(Outcome.AGAIN, 503, "KMS.DependencyTimeoutException", "KMS.ServiceUnavailableException"),
    *_rows(Outcome.AGAIN, 500, "KMS.KeyUnavailableException"),
    *_rows(Outcome.AGAIN, 400, "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"),
    *_rows(Outcome.AGAIN, 400, "InvalidDigest", "IncompleteBody"),
    *_without_code(Outcome.AGAIN, 408, 429, 500, 502, 503, 504, 511, 520),
    *_without_code(Outcome.AGAIN, 200, 201, 204, at=(PUT, PART)),
    *_rows(Outcome.REFRESHES, 400, "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidSessionException"),
    *_rows(Outcome.REFRESHES, 403, "ExpiredTokenException", "InvalidTokenId"),
    *_rows(Outcome.STARTS_OVER, 404, "NoSuchUpload", at=(PART, COMPLETE)),
    *_rows(Outcome.STARTS_OVER, 400, "InvalidPart", "InvalidPartOrder", "EntityTooSmall", at=(COMPLETE,)),
    *_rows(Outcome.STARTS_OVER, 409, "ConditionalRequestConflict", at=(COMPLETE,)),
    *_without_code(Outcome.STARTS_OVER, 409, at=(COMPLETE,)),
    *_rows(Outcome.DOES_WITHOUT, 501, "NotImplemented"),
    *_without_code(Outcome.DOES_WITHOUT, 501),
    Row("InvalidRequest", 400, Outcome.DOES_WITHOUT, message=_ALGORITHM),
    Row("InvalidArgument", 400, Outcome.DOES_WITHOUT, message=_ALGORITHM),
    *_rows(Outcome.PARKS, 403, "AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp"),
    *_rows(Outcome.PARKS, 403, "InvalidSecurity", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidPayer"),
    *_rows(Outcome.PARKS, 403, "SignatureDoesNotMatch", "RequestTimeTooSkewed", "MissingAuthenticationToken"),
    *_rows(Outcome.PARKS, 403, "UnauthorizedAccessError", "UnexpectedIPError"),
    *_rows(Outcome.PARKS, 400, "InvalidSignature", "UnsupportedSignature", "MissingSecurityHeader"),
    *_rows(Outcome.PARKS, 404, "NoSuchBucket", "NoSuchAccessPoint"),
    *_rows(Outcome.PARKS, 400, "InvalidBucketName", "InvalidStorageClass", "InvalidTag", "TagPolicyException"),
    *_rows(Outcome.PARKS, 400, "InvalidAccessPoint", "InvalidAccessPointAliasError", "InvalidHostHeader"),
    *_rows(Outcome.PARKS, 400, "InvalidBucketOwnerAWSAccountID", "IncorrectEndpoint", "EndpointNotFound"),
    *_rows(Outcome.PARKS, 400, "AccessControlListNotSupported", "InvalidBucketAclWithObjectOwnership"),
    *_rows(Outcome.PARKS, 400, "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
    *_rows(Outcome.PARKS, 400, "InvalidEncryptionAlgorithmError", "UnsupportedArgument", "UnexpectedContent"),
    *_rows(Outcome.PARKS, 400, "RequestHeaderSectionTooLarge", "InvalidRequest", "InvalidArgument"),
    *_rows(Outcome.PARKS, 400, "MalformedXML", "MissingRequestBodyError", at=(COMPLETE,)),
    *_rows(Outcome.PARKS, 411, "MissingContentLength", at=(PUT, PART)),
    *_rows(Outcome.PARKS, 409, "InvalidBucketState", at=(PUT, CREATE, PART)),
    *_rows(Outcome.PARKS, 301, "PermanentRedirect"),
    *_rows(Outcome.PARKS, 307, "TemporaryRedirect", "Redirect"),
    *_rows(Outcome.PARKS, 405, "MethodNotAllowed"),
    *_rows(Outcome.PARKS, 400, "KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException"),
    *_rows(Outcome.PARKS, 400, "KMS.InvalidKeyUsageException", "KMS.InvalidGrantTokenException"),
    *_rows(Outcome.PARKS, 400, "KMS.InvalidCiphertextException", "KMS.IncorrectKeyException", at=(PART, COMPLETE)),
    *_rows(Outcome.PARKS, 403, "QuotaExceeded"),
    *_rows(Outcome.PARKS, 507, "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"),
    *_without_code(Outcome.PARKS, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 407, 507),
    *_without_code(Outcome.PARKS, 409, at=(PUT, CREATE, PART)),
    *_rows(Outcome.PARKS, 400, "SomethingElseNew"),
    *_rows(Outcome.SETS_ASIDE, 400, "KeyTooLongError", "EntityTooLarge", "MaxMessageLengthExceeded"),
    *_rows(Outcome.SETS_ASIDE, 400, "MetadataTooLarge", "InvalidURI", "InvalidObjectName"),
    *_rows(Outcome.SETS_ASIDE, 400, "XMinioInvalidObjectName", "XMinioParentIsObject"),
    *_rows(Outcome.SETS_ASIDE, 409, "XMinioObjectExistsAsDirectory"),
    *_rows(Outcome.SETS_ASIDE, 403, "InvalidObjectState"),
    *_without_code(Outcome.SETS_ASIDE, 413, at=(PUT, PART)),
    *_without_code(Outcome.SETS_ASIDE, 414),
)

ONLY_AT_GET = (("NoSuchKey", 404), ("InvalidRange", 416), ("NoSuchVersion", 404))
"""Codes that only GetObject returns, with their statuses."""

ELSEWHERE = {
    "PreconditionFailed": "test_delivery.py: only a request with If-None-Match can get it",
    "412": "test_delivery.py: only a request with If-None-Match can get it",
}

STS = {
    "AccessDenied": 403,
    "AccessDeniedException": 400,
    "ExpiredToken": 403,
    "ExpiredTokenException": 400,
    "IDPCommunicationError": 400,
    "IncompleteSignature": 400,
    "InternalFailure": 500,
    "InvalidAction": 400,
    "InvalidClientTokenId": 403,
    "InvalidIdentityToken": 400,
    "InvalidParameterValue": 400,
    "MalformedPolicyDocument": 400,
    "MissingAuthenticationToken": 403,
    "NotAuthorized": 401,
    "OptInRequired": 403,
    "PackedPolicyTooLarge": 400,
    "RegionDisabledException": 403,
    "RequestExpired": 400,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "Throttling": 400,
    "ThrottlingException": 400,
    "UnrecognizedClientException": 400,
    "ValidationError": 400,
    "302": 302,
    "403": 403,
    "407": 407,
    "502": 502,
}
"""Errors of AssumeRole: each parks the destination while it lasts."""

HEAD = {
    **dict.fromkeys((301, 302, 307, 401, 405, 407), Outcome.PARKS),
    400: Outcome.REFRESHES,
    **dict.fromkeys((403, 404), None),
    **dict.fromkeys((408, 429, 500, 502, 503, 504), Outcome.AGAIN),
}
"""Statuses of HEAD, whose responses have no body and no code. None: unknown, the file is sent without another call."""

OURS = {
    **dict.fromkeys(("ConnectError", "ConnectionError"), (Outcome.AGAIN, "The connection could not be opened.")),
    "DNSError": (Outcome.AGAIN, "The endpoint's name could not be resolved."),
    **dict.fromkeys(("ConnectTimeout", "TLSTimeout"), (Outcome.AGAIN, "No connection within the deadline.")),
    "ConnectionReset": (Outcome.AGAIN, "The connection was closed before the response was complete."),
    **dict.fromkeys(("ProgressTimeout", "ReadTimeout"), (Outcome.AGAIN, "No byte moved within the deadline.")),
    "ResponseTimeout": (
        Outcome.AGAIN,
        "The store received the whole body and did not respond; the next attempt waits longer.",
    ),
    "TotalTimeout": (Outcome.AGAIN, "The call took longer than its deadline."),
    "ClientClosed": (Outcome.AGAIN, "The daemon stopped during the call."),
    "ProtocolError": (Outcome.AGAIN, "The response is not HTTP."),
    "ResponseTooLarge": (Outcome.AGAIN, "The response is larger than any of S3's or STS's."),
    "UnparsableResponse": (Outcome.AGAIN, "The response is not a document of S3 or STS."),
    "UnexpectedResponse": (Outcome.AGAIN, "A 200 response lacks what S3 or STS always return."),
    "ChecksumMismatch": (Outcome.AGAIN, "S3's checksum differs from the checksum of the bytes sent."),
    "UnverifiedUpload": (
        Outcome.PARKS,
        "A 200 response has no checksum and no MD5, and HEAD does not find the object.",
    ),
    "TLSError": (Outcome.PARKS, "The certificate has another name, has expired, or its authority is not trusted."),
    "ProxyError": (Outcome.PARKS, "The proxy is unreachable or refuses the connection."),
    "SessionPolicy": (Outcome.PARKS, "The file named in `session_policy` is not readable JSON."),
    "ExternalId": (Outcome.PARKS, "The file or variable with the external ID is not readable."),
    **dict.fromkeys(("NoCredentials", "ProfileNotFound"), (Outcome.PARKS, "No credentials of Account A were found.")),
    **dict.fromkeys(
        ("UnauthorizedSSOToken", "SSOTokenLoad", "TokenRetrieval", "CredentialRetrieval", "MetadataRetrieval"),
        (Outcome.PARKS, "The source of Account A's credentials failed."),
    ),
}
"""Crosshaul's own codes with their meanings. tests/unit/aws and tests/lies play them."""
