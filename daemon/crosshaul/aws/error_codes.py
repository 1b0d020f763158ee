"""What the error codes of S3, STS and KMS mean, and what to do about them. Pure tables.

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
            # Of MinIO and Ceph; some come with a 507, which looks like a passing trouble and isn't.
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
_KMS_PASSES = frozenset(
    {
        *("ThrottlingException", "RequestLimitExceeded", "DependencyTimeoutException", "KeyUnavailableException"),
        *("KMSInternalException", "InternalException", "InternalFailure", "ServiceUnavailableException"),
        "LimitExceededException",
    }
)
"""KMS's own passing troubles (KMS API reference, "Common errors"); every other one is for the key's owner to end."""
_NOT_IMPLEMENTED = frozenset({"NotImplemented", "501"})
_REFUSALS = frozenset({"InvalidRequest", "InvalidArgument"})
_OF_CHECKSUMS = re.compile(r"checksum|algorithm", re.IGNORECASE)
_OF_OTHER_OPTIONS = re.compile(r"encrypt|kms|tagging|\bacl\b|storage.?class|if-none-match|conditional", re.IGNORECASE)

_REGION = "Set the destination's `region` to the bucket's own."
_CLOCK = "Set this machine's clock (is NTP running?)."
_PREFIX = "Account B's admin: "
STRANGER = "Check HTTPS_PROXY, NO_PROXY and the endpoint; or the network wants somebody to sign in (captive portal)."
ADVICE: dict[str, str] = {
    "AccessDenied": f"{_PREFIX}do the role's policy, the bucket policy and any KMS key policy allow it?",
    "AllAccessDisabled": f"{_PREFIX}AWS has shut off the bucket; its support has to be asked.",
    "AccountProblem": f"{_PREFIX}AWS has shut off the account; its support has to be asked.",
    "InvalidPayer": f"{_PREFIX}AWS has shut off the bucket; its support has to be asked.",
    "NotSignedUp": f"{_PREFIX}the account isn't signed up for S3.",
    **dict.fromkeys(
        ("UnauthorizedAccessError", "UnexpectedIPError"),
        f"{_PREFIX}in the China Regions the account has to be registered (ICP) first.",
    ),
    **dict.fromkeys(("NoSuchAccessPoint", "InvalidAccessPoint", "InvalidAccessPointAliasError"), "Check `bucket`."),
    "InvalidBucketState": f"{_PREFIX}the bucket can't be written to in its present state.",
    "InvalidBucketOwnerAWSAccountID": "Check `expected_bucket_owner`: the 12 digits of Account B.",
    "InvalidHostHeader": "Check `addressing_style` and `endpoint_url`.",
    **dict.fromkeys(("IncorrectEndpoint", "EndpointNotFound"), "Check `endpoint_url` and `region`."),
    "NoSuchBucket": "Check `bucket` and `endpoint_url`, or ask Account B's admin for the bucket's name.",
    "InvalidBucketName": "Check `bucket`.",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    **dict.fromkeys(
        ("TemporaryRedirect", "Redirect"), "The bucket is new, and its name not yet known everywhere: this passes."
    ),
    **dict.fromkeys(
        ("MethodNotAllowed", "400", "404", "405"), "Check `endpoint_url` and `bucket`: this is not how S3 answers."
    ),
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "InvalidAccessKeyId": "Account A: the access key does not exist (any more); set up the credentials anew.",
    **dict.fromkeys(
        ("NotAuthorized", "OptInRequired"), "Account A: may its account and its credentials use STS in this region?"
    ),
    **dict.fromkeys(("InvalidAction", "InvalidParameterValue"), "Check `identity.sts_endpoint_url`: is that STS?"),
    "UnrecognizedClientException": "Account A: the access key does not exist (any more); set up the credentials anew.",
    "InvalidClientTokenId": "Account A: the access key does not exist (any more); set up the credentials anew.",
    "InvalidSecurity": "Account A: the credentials are not valid; set them up anew.",
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidSignature", "IncompleteSignature"),
        "Check the secret access key, and that no proxy changes the request.",
    ),
    **dict.fromkeys(
        (
            *("MissingAuthenticationToken", "MissingSecurityHeader", "MissingContentLength", "MissingRequestBodyError"),
            *("MalformedXML", "UnexpectedContent"),
        ),
        "Check that no proxy changes the request.",
    ),
    "UnsupportedSignature": "Check `endpoint_url` and `region`: the store wants another way of signing.",
    "KMS.NotFoundException": "Check `ssekms_key_id` (the full key ARN) with Account B's admin.",
    "KMS.DisabledException": f"{_PREFIX}enable the KMS key.",
    "KMS.KMSInvalidStateException": f"{_PREFIX}the KMS key can't be used in its present state.",
    "KMS.InvalidKeyUsageException": f"{_PREFIX}the KMS key has to be a symmetric one, for encrypting.",
    "KMS.InvalidGrantTokenException": f"{_PREFIX}look at the KMS key's grants.",
    **dict.fromkeys(
        ("KMS.InvalidCiphertextException", "KMS.IncorrectKeyException"),
        f"{_PREFIX}was the bucket's KMS key changed while a file was sent in parts?",
    ),
    **dict.fromkeys(
        ("AccessControlListNotSupported", "InvalidBucketAclWithObjectOwnership"),
        "The bucket takes no ACLs: set `acl: null`.",
    ),
    "InvalidEncryptionAlgorithmError": "Check `server_side_encryption`.",
    **dict.fromkeys(
        ("InvalidRequest", "InvalidArgument", "UnsupportedArgument"),
        "Hold the message against the destination's options: encryption, `tags`, `acl`, `storage_class`.",
    ),
    "RequestHeaderSectionTooLarge": "Shorten `metadata`, `tags` or the `key` template.",
    "TagPolicyException": "Check `tags` against Account B's tag policy.",
    "InvalidStorageClass": "Check `storage_class`.",
    "InvalidTag": "Check `tags`.",
    "507": f"{_PREFIX}make room.",
    "NotImplemented": "Leave out what the store doesn't know: encryption, `tags`, `acl`, `storage_class`, `overwrite`.",
    "QuotaExceeded": f"{_PREFIX}make room, or raise the quota.",
    "XMinioStorageFull": f"{_PREFIX}make room.",
    "XMinioAdminBucketQuotaExceeded": f"{_PREFIX}make room, or raise the quota.",
    **dict.fromkeys(
        ("KeyTooLongError", "414"), "Shorten the path or the `key` template: a key has at most 1,024 bytes."
    ),
    **dict.fromkeys(
        ("InvalidURI", "InvalidObjectName", "XMinioInvalidObjectName"),
        "Rename the file or change the `key` template: the store takes no such key.",
    ),
    **dict.fromkeys(
        ("XMinioParentIsObject", "XMinioObjectExistsAsDirectory"),
        "An object has the name of a directory on this key's way, or the other way round: rename one.",
    ),
    **dict.fromkeys(("EntityTooLarge", "MaxMessageLengthExceeded"), "The file is larger than the store takes."),
    "413": "The store, or a proxy before it, takes no body of this size: lower `multipart_threshold` or `part_size`.",
    "MetadataTooLarge": "Shorten `metadata`: at most 2 KB in all.",
    "InvalidObjectState": "The object is archived: it has to be restored before it can be read.",
    **dict.fromkeys(
        ("PreconditionFailed", "412"),
        "An object, perhaps an earlier state of this file, has this key, and the route says `overwrite: never`.",
    ),
    **dict.fromkeys(("200", "301", "302", "303", "307", "308", "401", "403"), STRANGER),
    "407": "Check HTTPS_PROXY: the proxy wants a user and a password.",
    "SenselessAnswer": STRANGER,
    "UnreadableAnswer": STRANGER,
    "ProtocolError": STRANGER,
    "NoCredentials": "Give Account A credentials: environment, `identity.profile`, SSO, or the machine's own role.",
    "ProfileNotFound": "Check `identity.profile`.",
    "UnauthorizedSSOToken": "Account A: sign in again (aws sso login).",
    "SSOTokenLoad": "Account A: sign in (aws sso login).",
    "TokenRetrieval": "Account A: sign in again (aws sso login).",
    "CredentialRetrieval": "Account A: check `credential_process`, or whatever else gives this machine credentials.",
    "MetadataRetrieval": "Account A: this machine's metadata service doesn't give its role's credentials.",
    "InvalidIdentityToken": "Account A: check the web identity token and its provider.",
    "PackedPolicyTooLarge": "Set `session_policy: none`, or shorten the policy.",
    "MalformedPolicyDocument": "Check the file named in `session_policy`.",
    "RegionDisabledException": "Set `identity.region` to one in which Account B has STS enabled.",
    "TLSError": "Check the certificate's name, dates and authority (trust it by `tls_ca_bundle`, AWS_CA_BUNDLE or the "
    "system's store), and this machine's clock.",
    "ProxyError": "Check HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
    "DNSError": "Check `endpoint_url` and `region`, and this machine's resolver.",
}
_STS_ADVICE = {
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException"),
        "Either Account A's policy does not allow sts:AssumeRole on this role, or the role's trust policy (Account B) "
        "names another principal or another external ID.",
    ),
    "ValidationError": "Check `role_arn`, `role_session_name`, `external_id` and `duration_seconds`.",
    "ExpiredToken": "Account A: its own credentials have expired; sign in again, or renew them.",
    "ExpiredTokenException": "Account A: its own credentials have expired; sign in again, or renew them.",
}
_STS_DURATION = "Lower `duration_seconds`: it exceeds the role's MaxSessionDuration, or 3600 where roles are chained."
_NAMES_A_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "400"}
)


def kind_of(operation: str, code: str, status: int | None, message: str = "") -> FaultKind:
    """What an AWS error code means; unknown ones go by their HTTP status."""
    if code in _KINDS:
        return _KINDS[code]
    if code.startswith("KMS."):
        return FaultKind.THROTTLED if code.removeprefix("KMS.") in _KMS_PASSES else FaultKind.DESTINATION
    if code in _NOT_IMPLEMENTED:
        return FaultKind.DESTINATION if _OF_OTHER_OPTIONS.search(message) else FaultKind.UNSUPPORTED
    if code in _REFUSALS and _OF_CHECKSUMS.search(message) and not _OF_OTHER_OPTIONS.search(message):
        return FaultKind.UNSUPPORTED
    if operation == "HeadObject" and code == "400":
        return FaultKind.EXPIRED  # HEAD has no body to say so; one refresh decides whether it was that
    return _by_status(operation, status)


def _by_status(operation: str, status: int | None) -> FaultKind:
    if operation == "CompleteMultipartUpload" and status == 409:  # noqa: PLR2004 - HTTP's own number
        return FaultKind.RESTART_UPLOAD
    # An error inside a 200 is what a 500 would be, had it come in time (API reference, CompleteMultipartUpload).
    if status is not None and (status >= 500 or status < 300 or status in {408, 429}):  # noqa: PLR2004 - HTTP's own numbers
        return FaultKind.THROTTLED
    return FaultKind.DESTINATION


def advice_for(operation: str, code: str, message: str, region: str | None) -> str:
    """What to do about it, and who; "" where nothing is known."""
    if operation.startswith("AssumeRole"):
        if code == "ValidationError" and "DurationSeconds" in message:
            return _STS_DURATION
        if code in _STS_ADVICE:
            return _STS_ADVICE[code]
    if region and code in _NAMES_A_REGION:
        return f"Set the destination's `region` to {region}."
    return ADVICE.get(code, "")
