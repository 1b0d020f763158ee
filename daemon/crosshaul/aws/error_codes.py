"""Meaning of the error codes of S3, STS and KMS, and the advice for each. Pure tables.

Sources: the S3 API reference, "Error responses"; the STS API reference, "AssumeRole" and "Common errors"; botocore's
list of throttling codes (botocore/retries/standard.py); docs/ARCHITECTURE.md, "Facts".
"""

from __future__ import annotations

import re

from crosshaul.errors import FaultKind

_KINDS: dict[str, FaultKind] = {
    **dict.fromkeys(
        (
            *("ExpiredToken", "InvalidToken", "ExpiredTokenException", "InvalidTokenId", "TokenRefreshRequired"),
            "InvalidSessionException",
        ),
        FaultKind.EXPIRED,
    ),
    **dict.fromkeys(
        (
            *("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Busy", "InternalError"),
            *("RequestTimeout", "RequestTimeoutException", "OperationAborted", "PriorRequestNotComplete"),
            *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
            *("RequestThrottledException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException"),
            *("TooManyRequests", "TooManyRequestsException", "IDPCommunicationError"),
        ),
        FaultKind.THROTTLED,
    ),
    # Spelled out, since they also come inside an answer of 200, which botocore turns into a 500.
    **dict.fromkeys(
        (
            *("AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "InvalidSecurity"),
            *("InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"),
            *("NoSuchBucket", "InvalidBucketName", "InvalidBucketState", "PermanentRedirect", "TemporaryRedirect"),
            *("MethodNotAllowed", "InvalidStorageClass", "InvalidTag", "AccessControlListNotSupported"),
            # Of MinIO and Ceph; some come with a 507, which looks transient and is not.
            *("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"),
        ),
        FaultKind.DESTINATION,
    ),
    **dict.fromkeys(
        (
            *("KeyTooLongError", "EntityTooLarge", "MaxMessageLengthExceeded", "MetadataTooLarge", "InvalidURI"),
            *("InvalidObjectName", "XMinioInvalidObjectName", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory"),
            *("InvalidObjectState", "413", "414"),
        ),
        FaultKind.FILE,
    ),
    **dict.fromkeys(
        (
            *("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest"),
            "IncompleteBody",
        ),
        FaultKind.CORRUPT,
    ),
    **dict.fromkeys(
        ("NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "ConditionalRequestConflict"),
        FaultKind.RESTART_UPLOAD,
    ),
    "PreconditionFailed": FaultKind.EXISTS,
    "412": FaultKind.EXISTS,
}
_TRANSIENT_KMS_CODES = frozenset(
    {
        *("ThrottlingException", "RequestLimitExceeded", "DependencyTimeoutException", "KeyUnavailableException"),
        *("KMSInternalException", "InternalException", "InternalFailure", "ServiceUnavailableException"),
        "LimitExceededException",
    }
)
"""Transient errors of KMS (KMS API reference, "Common errors"); the key's owner has to fix every other one."""
_NOT_IMPLEMENTED = frozenset({"NotImplemented", "501"})
_INVALID_REQUESTS = frozenset({"InvalidRequest", "InvalidArgument"})
_NAMES_A_CHECKSUM = re.compile(r"checksum|algorithm", re.IGNORECASE)
_NAMES_ANOTHER_OPTION = re.compile(
    r"encrypt|kms|tagging|\bacl\b|storage.?class|if-none-match|conditional", re.IGNORECASE
)

_REGION = "Set the destination's `region` to the bucket's region."
_CLOCK = "Correct this machine's clock; check that NTP is running."
_ADMIN = "Account B's admin: "
CHECK_PROXY = "Check HTTPS_PROXY, NO_PROXY and the endpoint; a captive portal may also have answered instead of AWS."
ADVICE: dict[str, str] = {
    "AccessDenied": f"{_ADMIN}allow the call in the role's policy, the bucket policy and the KMS key's policy.",
    "AllAccessDisabled": f"{_ADMIN}AWS has disabled the bucket; contact AWS Support.",
    "AccountProblem": f"{_ADMIN}AWS has disabled the account; contact AWS Support.",
    "InvalidPayer": f"{_ADMIN}AWS has disabled the bucket; contact AWS Support.",
    "NotSignedUp": f"{_ADMIN}sign the account up for S3.",
    **dict.fromkeys(
        ("UnauthorizedAccessError", "UnexpectedIPError"),
        f"{_ADMIN}register the account (ICP), as AWS requires in the China Regions.",
    ),
    **dict.fromkeys(("NoSuchAccessPoint", "InvalidAccessPoint", "InvalidAccessPointAliasError"), "Check `bucket`."),
    "InvalidBucketState": f"{_ADMIN}the bucket's current state does not allow writes.",
    "InvalidBucketOwnerAWSAccountID": "Check `expected_bucket_owner`: the 12 digits of Account B.",
    "InvalidHostHeader": "Check `addressing_style` and `endpoint_url`.",
    **dict.fromkeys(("IncorrectEndpoint", "EndpointNotFound"), "Check `endpoint_url` and `region`."),
    "NoSuchBucket": "Check `bucket` and `endpoint_url`, or ask Account B's admin for the bucket's name.",
    "InvalidBucketName": "Check `bucket`.",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    **dict.fromkeys(
        ("TemporaryRedirect", "Redirect"), "None needed: the bucket is new and its DNS name is still propagating."
    ),
    **dict.fromkeys(
        ("MethodNotAllowed", "400", "404", "405"),
        "Check `endpoint_url` and `bucket`: this response is not one of S3's.",
    ),
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "InvalidAccessKeyId": "Account A: the access key does not exist; replace the credentials.",
    **dict.fromkeys(
        ("NotAuthorized", "OptInRequired"),
        "Account A: check that the account and its credentials may use STS in this region.",
    ),
    **dict.fromkeys(
        ("InvalidAction", "InvalidParameterValue"), "Check `identity.sts_endpoint_url`: it may not be an STS endpoint."
    ),
    "UnrecognizedClientException": "Account A: the access key does not exist; replace the credentials.",
    "InvalidClientTokenId": "Account A: the access key does not exist; replace the credentials.",
    "InvalidSecurity": "Account A: the credentials are invalid; replace them.",
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidSignature", "IncompleteSignature"),
        "Check the secret access key, and that no proxy modifies the request.",
    ),
    **dict.fromkeys(
        (
            *("MissingAuthenticationToken", "MissingSecurityHeader", "MissingContentLength", "MissingRequestBodyError"),
            *("MalformedXML", "UnexpectedContent"),
        ),
        "Check that no proxy modifies the request.",
    ),
    "UnsupportedSignature": "Check `endpoint_url` and `region`: the store requires another signature version.",
    "KMS.NotFoundException": "Check `ssekms_key_id` (the full key ARN) with Account B's admin.",
    "KMS.DisabledException": f"{_ADMIN}enable the KMS key.",
    "KMS.KMSInvalidStateException": f"{_ADMIN}the KMS key's current state does not allow its use.",
    "KMS.InvalidKeyUsageException": f"{_ADMIN}use a symmetric encryption KMS key.",
    "KMS.InvalidGrantTokenException": f"{_ADMIN}check the KMS key's grants.",
    **dict.fromkeys(
        ("KMS.InvalidCiphertextException", "KMS.IncorrectKeyException"),
        f"{_ADMIN}check whether the bucket's KMS key was changed during a multipart upload.",
    ),
    **dict.fromkeys(
        ("AccessControlListNotSupported", "InvalidBucketAclWithObjectOwnership"),
        "Set `acl: null`: the bucket does not accept ACLs.",
    ),
    "InvalidEncryptionAlgorithmError": "Check `server_side_encryption`.",
    **dict.fromkeys(
        ("InvalidRequest", "InvalidArgument", "UnsupportedArgument"),
        "Compare the message with the destination's options: encryption, `tags`, `acl`, `storage_class`.",
    ),
    "RequestHeaderSectionTooLarge": "Shorten `metadata`, `tags` or the `key` template.",
    "TagPolicyException": "Check `tags` against Account B's tag policy.",
    "InvalidStorageClass": "Check `storage_class`.",
    "InvalidTag": "Check `tags`.",
    "507": f"{_ADMIN}free space.",
    "NotImplemented": "Remove options that the store lacks: encryption, `tags`, `acl`, `storage_class`, `overwrite`.",
    "QuotaExceeded": f"{_ADMIN}free space or raise the quota.",
    "XMinioStorageFull": f"{_ADMIN}free space.",
    "XMinioAdminBucketQuotaExceeded": f"{_ADMIN}free space or raise the quota.",
    **dict.fromkeys(
        ("KeyTooLongError", "414"), "Shorten the path or the `key` template: a key has at most 1,024 bytes."
    ),
    **dict.fromkeys(
        ("InvalidURI", "InvalidObjectName", "XMinioInvalidObjectName"),
        "Rename the file or change the `key` template: the store does not accept this key.",
    ),
    **dict.fromkeys(
        ("XMinioParentIsObject", "XMinioObjectExistsAsDirectory"),
        "Rename the file or the existing object: the store can't hold an object and a directory of the same name.",
    ),
    **dict.fromkeys(
        ("EntityTooLarge", "MaxMessageLengthExceeded"), "None available: the file is larger than the store's limit."
    ),
    "413": "Lower `multipart_threshold` or `part_size`: the store, or a proxy, does not accept a body of this size.",
    "MetadataTooLarge": "Shorten `metadata`: the total limit is 2 KB.",
    "InvalidObjectState": "Restore the object: it is archived and can't be read.",
    **dict.fromkeys(
        ("PreconditionFailed", "412"),
        "Remove the object with this key, or change `overwrite: never` in the route.",
    ),
    **dict.fromkeys(("200", "301", "302", "303", "307", "308", "401", "403"), CHECK_PROXY),
    "407": "Add a user and a password to HTTPS_PROXY: the proxy requires them.",
    "UnexpectedResponse": CHECK_PROXY,
    "UnparsableResponse": CHECK_PROXY,
    "ProtocolError": CHECK_PROXY,
    "NoCredentials": "Configure Account A's credentials: environment, `identity.profile`, SSO, or the machine's role.",
    "ProfileNotFound": "Check `identity.profile`.",
    "UnauthorizedSSOToken": "Account A: run aws sso login.",
    "SSOTokenLoad": "Account A: run aws sso login.",
    "TokenRetrieval": "Account A: run aws sso login.",
    "CredentialRetrieval": "Account A: check `credential_process`, or the other source of this machine's credentials.",
    "MetadataRetrieval": "Account A: check the machine's role: its metadata service returned no credentials.",
    "InvalidIdentityToken": "Account A: check the web identity token and its provider.",
    "PackedPolicyTooLarge": "Set `session_policy: none`, or shorten the policy.",
    "MalformedPolicyDocument": "Check the file named in `session_policy`.",
    "RegionDisabledException": "Set `identity.region` to a region where STS is active for Account B.",
    "TLSError": "Check the certificate's name, dates and authority (to trust it: `tls_ca_bundle`, AWS_CA_BUNDLE or the "
    "system's store), and this machine's clock.",
    "ProxyError": "Check HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
    "DNSError": "Check `endpoint_url` and `region`, and this machine's resolver.",
}
_STS_ADVICE = {
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException"),
        "Allow sts:AssumeRole on this role in Account A's policy; in Account B, check that the role's trust policy "
        "names this principal and this external ID.",
    ),
    "ValidationError": "Check `role_arn`, `role_session_name`, `external_id` and `duration_seconds`.",
    "ExpiredToken": "Account A: its credentials have expired; renew them (for SSO: aws sso login).",
    "ExpiredTokenException": "Account A: its credentials have expired; renew them (for SSO: aws sso login).",
}
_STS_DURATION = "Lower `duration_seconds`: the limit is the role's MaxSessionDuration, or 3600 with role chaining."
_NAMES_A_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "400"}
)


def kind_of(operation: str, code: str, status: int | None, message: str = "") -> FaultKind:
    """Classify an AWS error code; the HTTP status decides for an unknown code."""
    if code in _KINDS:
        return _KINDS[code]
    if code.startswith("KMS."):
        return FaultKind.THROTTLED if code.removeprefix("KMS.") in _TRANSIENT_KMS_CODES else FaultKind.DESTINATION
    if code in _NOT_IMPLEMENTED:
        return FaultKind.DESTINATION if _NAMES_ANOTHER_OPTION.search(message) else FaultKind.UNSUPPORTED
    if code in _INVALID_REQUESTS and _NAMES_A_CHECKSUM.search(message) and not _NAMES_ANOTHER_OPTION.search(message):
        return FaultKind.UNSUPPORTED
    if operation == "HeadObject" and code == "400":
        return FaultKind.EXPIRED  # HEAD has no body that could say so: one refresh tells
    return _by_status(operation, status)


def _by_status(operation: str, status: int | None) -> FaultKind:
    if operation == "CompleteMultipartUpload" and status == 409:  # noqa: PLR2004 - HTTP's own number
        return FaultKind.RESTART_UPLOAD
    # An error inside a 200 is a 500 that came after the status line (API reference, CompleteMultipartUpload).
    if status is not None and (status >= 500 or status < 300 or status in {408, 429}):  # noqa: PLR2004 - HTTP's own numbers
        return FaultKind.THROTTLED
    return FaultKind.DESTINATION


def advice_for(operation: str, code: str, message: str, region: str | None) -> str:
    """Return what to do about an error, and who has to do it; "" for an unknown code."""
    if operation.startswith("AssumeRole"):
        if code == "ValidationError" and "DurationSeconds" in message:
            return _STS_DURATION
        if code in _STS_ADVICE:
            return _STS_ADVICE[code]
    if region and code in _NAMES_A_REGION:
        return f"Set the destination's `region` to {region}."
    return ADVICE.get(code, "")
