"""What S3 and STS may answer, and what has to come of it. Data: tests/lies/test_table.py plays each row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Outcome(Enum):
    """What an error that strikes once, or for a while, leads to. Lost is a file in no case."""

    AGAIN = auto()
    """The call is made again, and the file is delivered."""
    REFRESHES = auto()
    """New credentials are had, and the file is delivered; no try is counted."""
    STARTS_OVER = auto()
    """A new multipart upload is begun, and the file is delivered."""
    PARKS = auto()
    """The destination is parked; when the error ends, the file is delivered. No file is blamed."""
    SETS_ASIDE = auto()
    """The file is quarantined with this code, and other files are delivered."""


PUT = "PutObject"
CREATE = "CreateMultipartUpload"
PART = "UploadPart"
COMPLETE = "CompleteMultipartUpload"
SENDING = (PUT, CREATE, PART, COMPLETE)


@dataclass(frozen=True)
class Row:
    """One error code, with the status it comes with, and the calls at which it can come."""

    code: str
    status: int
    outcome: Outcome
    at: tuple[str, ...] = SENDING
    message: str = "what AWS says"


def _rows(outcome: Outcome, status: int, *codes: str, at: tuple[str, ...] = SENDING) -> tuple[Row, ...]:
    return tuple(Row(code, status, outcome, at) for code in codes)


S3 = (
    *_rows(Outcome.AGAIN, 503, "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Busy"),
    *_rows(Outcome.AGAIN, 500, "InternalError", "SomethingNew"),
    *_rows(Outcome.AGAIN, 400, "RequestTimeout", "RequestTimeoutException", "BandwidthLimitExceeded"),
    *_rows(Outcome.AGAIN, 409, "OperationAborted"),
    *_rows(Outcome.AGAIN, 400, "PriorRequestNotComplete", "LimitExceededException", "IDPCommunicationError"),
    *_rows(Outcome.AGAIN, 429, "TooManyRequests", "TooManyRequestsException"),
    *_rows(Outcome.AGAIN, 400, "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
    *_rows(Outcome.AGAIN, 400, "RequestThrottledException", "RequestLimitExceeded", "KMS.ThrottlingException"),
    *_rows(Outcome.AGAIN, 400, "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"),
    *_rows(Outcome.AGAIN, 400, "InvalidDigest", "IncompleteBody"),
    *_rows(Outcome.REFRESHES, 400, "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
    *_rows(Outcome.REFRESHES, 403, "ExpiredTokenException", "InvalidTokenId"),
    *_rows(Outcome.STARTS_OVER, 404, "NoSuchUpload", at=(PART, COMPLETE)),
    *_rows(Outcome.STARTS_OVER, 400, "InvalidPart", "InvalidPartOrder", "EntityTooSmall", at=(COMPLETE,)),
    *_rows(Outcome.STARTS_OVER, 409, "ConditionalRequestConflict", at=(COMPLETE,)),
    *_rows(Outcome.PARKS, 403, "AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp"),
    *_rows(Outcome.PARKS, 403, "InvalidSecurity", "InvalidAccessKeyId", "InvalidClientTokenId"),
    *_rows(Outcome.PARKS, 403, "SignatureDoesNotMatch", "RequestTimeTooSkewed"),
    *_rows(Outcome.PARKS, 404, "NoSuchBucket"),
    *_rows(Outcome.PARKS, 400, "InvalidBucketName", "InvalidStorageClass", "InvalidTag"),
    *_rows(Outcome.PARKS, 400, "AccessControlListNotSupported", "AuthorizationHeaderMalformed"),
    *_rows(Outcome.PARKS, 409, "InvalidBucketState", at=(PUT, CREATE, PART)),
    *_rows(Outcome.PARKS, 301, "PermanentRedirect"),
    *_rows(Outcome.PARKS, 307, "TemporaryRedirect"),
    *_rows(Outcome.PARKS, 405, "MethodNotAllowed"),
    *_rows(Outcome.PARKS, 400, "KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException"),
    *_rows(Outcome.PARKS, 403, "QuotaExceeded"),
    *_rows(Outcome.PARKS, 507, "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"),
    *_rows(Outcome.PARKS, 400, "SomethingElseNew"),
    *_rows(Outcome.SETS_ASIDE, 400, "KeyTooLongError", "EntityTooLarge", "MaxMessageLengthExceeded"),
    *_rows(Outcome.SETS_ASIDE, 400, "MetadataTooLarge", "InvalidURI", "InvalidObjectName"),
    *_rows(Outcome.SETS_ASIDE, 400, "XMinioInvalidObjectName", "XMinioParentIsObject"),
    *_rows(Outcome.SETS_ASIDE, 409, "XMinioObjectExistsAsDirectory"),
    *_rows(Outcome.SETS_ASIDE, 403, "InvalidObjectState"),
    *_rows(Outcome.SETS_ASIDE, 413, "413", at=(PUT, PART)),
    *_rows(Outcome.SETS_ASIDE, 414, "414"),
)

ELSEWHERE = {
    "PreconditionFailed": "test_delivery.py: only a request with If-None-Match can be answered so",
    "412": "test_delivery.py: only a request with If-None-Match can be answered so",
}

STS = {
    "AccessDenied": 403,
    "ExpiredTokenException": 400,
    "IDPCommunicationError": 400,
    "InternalFailure": 500,
    "InvalidClientTokenId": 403,
    "MalformedPolicyDocument": 400,
    "PackedPolicyTooLarge": 400,
    "RegionDisabledException": 403,
    "RequestExpired": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "Throttling": 400,
    "ValidationError": 400,
}
"""AssumeRole (STS API reference, "Errors" and "Common errors"): each parks the destination for as long as it lasts."""

HEAD = {
    301: Outcome.PARKS,
    400: Outcome.REFRESHES,
    403: None,
    404: None,
    500: Outcome.AGAIN,
    503: Outcome.AGAIN,
}
"""HEAD's answers have no body, hence no code. None: "don't know", and the file is sent without another call."""
