"""What S3 and STS may answer, and what has to come of it. Data: tests/lies plays each row, docs/ERRORS.md shows them.

Sources: the S3 API reference, "List of error codes" (those that our calls can be answered with); the STS API
reference, "AssumeRole" and "Common errors"; the KMS API reference, GenerateDataKey and Decrypt, whose errors S3 passes
on; MinIO and Ceph for theirs; RFC 9110 for what proxies say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What an error that strikes once, or for a while, leads to. Lost is a file in no case."""

    AGAIN = "The call is made again, and the file is delivered."
    REFRESHES = "New credentials are had from STS, and the file is delivered; no try is counted."
    STARTS_OVER = "A new multipart upload is begun, and the file is delivered."
    DOES_WITHOUT = "What the store doesn't know (If-None-Match, a checksum) is left out, and the file is delivered."
    PARKS = "The destination is parked; when the error ends, the file is delivered. No file is blamed."
    SETS_ASIDE = "The file is quarantined with this code, and other files are delivered."


PUT = "PutObject"
CREATE = "CreateMultipartUpload"
PART = "UploadPart"
COMPLETE = "CompleteMultipartUpload"
ABORT = "AbortMultipartUpload"
GET = "GetObject"
SENDING = (PUT, CREATE, PART, COMPLETE)


@dataclass(frozen=True)
class Row:
    """One error code, with the status it comes with, and the calls at which it can come.

    At AbortMultipartUpload every row ends in nothing, and at GetObject, which no delivery makes, in a line that tells.
    """

    code: str
    status: int
    outcome: Outcome
    at: tuple[str, ...] = SENDING
    message: str = "What AWS says."


def _rows(outcome: Outcome, status: int, *codes: str, at: tuple[str, ...] = SENDING) -> tuple[Row, ...]:
    return tuple(Row(code, status, outcome, at) for code in codes)


def _without_code(outcome: Outcome, *statuses: int, at: tuple[str, ...] = SENDING) -> tuple[Row, ...]:
    """Answers of proxies and the like, which have a status alone."""
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
"""Of GetObject alone, with their statuses."""

ELSEWHERE = {
    "PreconditionFailed": "test_delivery.py: only a request with If-None-Match can be answered so",
    "412": "test_delivery.py: only a request with If-None-Match can be answered so",
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
"""AssumeRole: each parks the destination for as long as it lasts."""

HEAD = {
    **dict.fromkeys((301, 302, 307, 401, 405, 407), Outcome.PARKS),
    400: Outcome.REFRESHES,
    **dict.fromkeys((403, 404), None),
    **dict.fromkeys((408, 429, 500, 502, 503, 504), Outcome.AGAIN),
}
"""HEAD's answers have no body, hence no code. None: "don't know", and the file is sent without another call."""

OURS = {
    **dict.fromkeys(("ConnectError", "ConnectionError"), (Outcome.AGAIN, "No connection came about.")),
    "DNSError": (Outcome.AGAIN, "The endpoint's name leads nowhere."),
    **dict.fromkeys(("ConnectTimeout", "TLSTimeout"), (Outcome.AGAIN, "No connection came about in time.")),
    "ConnectionReset": (Outcome.AGAIN, "The connection ended before the answer did."),
    **dict.fromkeys(("ProgressTimeout", "ReadTimeout"), (Outcome.AGAIN, "Nothing moved for too long.")),
    "AnswerTimeout": (
        Outcome.AGAIN,
        "The store took the whole body, and did not answer; the next try waits for longer.",
    ),
    "TotalTimeout": (Outcome.AGAIN, "The whole call took too long."),
    "ClientClosed": (Outcome.AGAIN, "The daemon ended in the middle of it."),
    "ProtocolError": (Outcome.AGAIN, "What came is not HTTP."),
    "AnswerTooLarge": (Outcome.AGAIN, "An answer without end."),
    "UnreadableAnswer": (Outcome.AGAIN, "What came is no document of S3's or STS's."),
    "SenselessAnswer": (Outcome.AGAIN, "A 200 that lacks what S3 or STS would say."),
    "ChecksumMismatch": (Outcome.AGAIN, "S3 says that it holds other bytes than were sent."),
    "UnprovenAnswer": (Outcome.PARKS, "A 200 with neither a checksum nor an MD5, and HEAD doesn't show the file."),
    "TLSError": (Outcome.PARKS, "The certificate is another's, is out of date, or its authority is not known."),
    "ProxyError": (Outcome.PARKS, "The proxy can't be had, or refuses."),
    "SessionPolicy": (Outcome.PARKS, "The file named in `session_policy` can't be used."),
    "ExternalId": (Outcome.PARKS, "The file or variable with the external ID can't be read."),
    **dict.fromkeys(("NoCredentials", "ProfileNotFound"), (Outcome.PARKS, "Account A has no credentials here.")),
    **dict.fromkeys(
        ("UnauthorizedSSOToken", "SSOTokenLoad", "TokenRetrieval", "CredentialRetrieval", "MetadataRetrieval"),
        (Outcome.PARKS, "Account A's credentials can't be had from where they come."),
    ),
}
"""Codes that no server gave: what they mean. tests/unit/aws and tests/lies play them."""
