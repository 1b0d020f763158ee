"""The meaning of each foreign error, from real bytes of S3, STS, proxies and attackers."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import QueryParser, ResponseParserError, RestXMLParser

from crosshaul.aws import error_map
from crosshaul.aws.http1 import Response, TransportError
from crosshaul.errors import Diagnosis, Fault, FaultKind

E, T, N, D = FaultKind.EXPIRED, FaultKind.THROTTLED, FaultKind.NETWORK, FaultKind.DESTINATION
F, C, R, X, U = FaultKind.FILE, FaultKind.CORRUPT, FaultKind.RESTART_UPLOAD, FaultKind.EXISTS, FaultKind.UNSUPPORTED

# code, HTTP status, kind, a word of the advice; codes and statuses of the S3 API reference, "List of error codes".
S3 = [
    ("ExpiredToken", 400, E, ""),
    ("InvalidToken", 400, E, ""),
    ("TokenRefreshRequired", 400, E, ""),
    ("AccessDenied", 403, D, "Account B's admin"),
    ("AccessDenied", 500, D, "Account B's admin"),
    ("AllAccessDisabled", 403, D, "Account B's admin"),
    ("AccountProblem", 403, D, "Account B's admin"),
    ("NotSignedUp", 403, D, "Account B's admin"),
    ("InvalidAccessKeyId", 403, D, "Account A"),
    ("SignatureDoesNotMatch", 403, D, "secret access key"),
    ("RequestTimeTooSkewed", 403, D, "clock"),
    ("NoSuchBucket", 404, D, "`bucket`"),
    ("InvalidBucketName", 400, D, "`bucket`"),
    ("PermanentRedirect", 301, D, "`region`"),
    ("TemporaryRedirect", 307, D, "still propagating"),
    ("AuthorizationHeaderMalformed", 400, D, "`region`"),
    ("IllegalLocationConstraintException", 400, D, "`region`"),
    ("MethodNotAllowed", 405, D, "`endpoint_url`"),
    ("AccessControlListNotSupported", 400, D, "`acl: null`"),
    ("InvalidStorageClass", 400, D, "`storage_class`"),
    ("InvalidTag", 400, D, "`tags`"),
    ("QuotaExceeded", 403, D, "free space"),
    ("XMinioStorageFull", 507, D, "free space"),
    ("KMS.DisabledException", 400, D, "enable the KMS key"),
    ("KMS.NotFoundException", 400, D, "`ssekms_key_id`"),
    ("KMS.KMSInvalidStateException", 400, D, "current state"),
    ("KMS.SomethingNew", 400, D, ""),
    ("KMS.SomethingNew", 500, D, ""),
    ("KMS.ThrottlingException", 400, T, ""),
    ("KMS.KMSInternalException", 500, T, ""),
    ("ThrottlingException", 400, T, ""),
    ("SlowDown", 503, T, ""),
    ("SlowDown", 400, T, ""),
    ("InternalError", 500, T, ""),
    ("InternalError", 200, T, ""),
    ("ServiceUnavailable", 503, T, ""),
    ("RequestTimeout", 400, T, ""),
    ("OperationAborted", 409, T, ""),
    ("SomethingNew", 500, T, ""),
    ("SomethingNew", 200, T, ""),
    ("SomethingNew", 429, T, ""),
    ("SomethingNew", 408, T, ""),
    ("SomethingNew", 400, D, ""),
    ("KeyTooLongError", 400, F, "1,024"),
    ("EntityTooLarge", 400, F, "larger"),
    ("MetadataTooLarge", 400, F, "`metadata`"),
    ("InvalidObjectState", 403, F, "Restore"),
    ("BadDigest", 400, C, ""),
    ("XAmzContentSHA256Mismatch", 400, C, ""),
    ("IncompleteBody", 400, C, ""),
    ("NoSuchUpload", 404, R, ""),
    ("InvalidPart", 400, R, ""),
    ("EntityTooSmall", 400, R, ""),
    ("ConditionalRequestConflict", 409, R, ""),
    ("PreconditionFailed", 412, X, "`overwrite: never`"),
    ("NotImplemented", 501, U, ""),
]
STS = [
    ("AccessDenied", 403, D, "this external ID"),
    ("ExpiredToken", 403, E, "Account A"),
    ("ExpiredTokenException", 400, E, "Account A"),
    ("InvalidClientTokenId", 403, D, "Account A"),
    ("InvalidIdentityToken", 400, D, "web identity"),
    ("IDPCommunicationError", 400, T, ""),
    ("MalformedPolicyDocument", 400, D, "`session_policy`"),
    ("PackedPolicyTooLarge", 400, D, "`session_policy: none`"),
    ("RegionDisabledException", 403, D, "`identity.region`"),
    ("Throttling", 400, T, ""),
    ("ServiceUnavailable", 503, T, ""),
    ("SignatureDoesNotMatch", 403, D, "secret access key"),
]


def s3_body(code: str, message: str = "Some words.", more: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}'
        "<RequestId>4442587FB7D0A2F9</RequestId><HostId>h</HostId></Error>"
    ).encode()


def sts_body(code: str, message: str = "Some words.") -> bytes:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <Error>\n    <Type>Sender</Type>\n'
        f"    <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n"
        "  <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n</ErrorResponse>\n"
    ).encode()


def wire(
    status: int, body: bytes = b"", operation: str = "PutObject", resent: bool = False, **headers: str
) -> Diagnosis:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fault = error_map.from_response(operation, Response(status, named, body, resent))
    assert isinstance(fault, Fault)
    assert "\n" not in str(fault)
    return fault.diagnosis


def sdk(status: int, body: bytes, operation: str = "AssumeRole", **headers: str) -> Diagnosis:
    """Return the fault by botocore's own parser, which aioboto3 uses."""
    parser = QueryParser() if operation == "AssumeRole" else RestXMLParser()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    parsed = parser.parse({"status_code": status, "headers": named, "body": body}, None)
    fault = error_map.from_botocore(operation, ClientError(parsed, operation))
    assert "\n" not in str(fault)
    return fault.diagnosis


@pytest.mark.parametrize(("code", "status", "kind", "advice"), S3)
def test_s3_codes(code, status, kind, advice):
    """Each code of S3 has its kind and advice, from the upload client and from aioboto3."""
    diagnoses = [wire(status, s3_body(code))]
    if status >= 301:
        diagnoses.append(sdk(status, s3_body(code), "PutObject", x_amz_request_id="4442587FB7D0A2F9"))
    for diagnosis in diagnoses:
        assert (diagnosis.kind, diagnosis.code, diagnosis.status) == (kind, code, status)
        assert diagnosis.message == "Some words."
        assert diagnosis.request_id == "4442587FB7D0A2F9"
        assert advice in diagnosis.advice
        assert bool(advice) == bool(diagnosis.advice) or code == "NotImplemented"
        assert diagnosis.ambiguous is (kind is T and (status >= 500 or status == 200))


@pytest.mark.parametrize(("code", "status", "kind", "advice"), STS)
def test_sts_codes(code, status, kind, advice):
    """Each code of STS has its kind and says who has to act."""
    diagnosis = sdk(status, sts_body(code))
    assert (diagnosis.kind, diagnosis.code, diagnosis.operation) == (kind, code, "AssumeRole")
    assert diagnosis.request_id == "01234567-89ab-cdef-0123-456789abcdef"
    assert advice in diagnosis.advice


def test_a_session_longer_than_allowed():
    """The advice for a duration that STS refuses names the setting."""
    message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    assert "`duration_seconds`" in sdk(400, sts_body("ValidationError", message)).advice


@pytest.mark.parametrize(
    ("status", "operation", "kind"),
    [
        (400, "HeadObject", E),
        (400, "PutObject", D),
        (403, "HeadObject", D),
        (404, "HeadObject", D),
        (405, "HeadObject", D),
        (412, "HeadObject", X),
        (503, "HeadObject", T),
        (301, "HeadObject", D),
        (409, "CompleteMultipartUpload", R),
        (409, "PutObject", D),
        (413, "PutObject", F),
        (414, "PutObject", F),
        (501, "PutObject", U),
        (502, "PutObject", T),
        (507, "PutObject", D),
    ],
)
@pytest.mark.parametrize("body", [b"", b"  \n", b"<html><body>Proxy</body></html>", b"no", b'{"a": 1}', b"\0\xff"])
def test_answers_without_a_code(status, operation, kind, body):
    """Without a code, as in HEAD and proxies' responses, the status decides."""
    diagnosis = wire(status, body, operation, x_amz_request_id="R1")
    assert (diagnosis.kind, diagnosis.code, diagnosis.request_id) == (kind, str(status), "R1")
    assert diagnosis.message
    if not body:
        head = sdk(status, b"", operation, x_amz_request_id="R1")
        assert (head.kind, head.code, head.request_id) == (kind, str(status), "R1")


@pytest.mark.parametrize(
    ("code", "status", "message", "kind"),
    [
        ("NotImplemented", 501, "A header you provided implies functionality that is not implemented", U),
        ("NotImplemented", 501, "Server side encryption specified but KMS is not configured", D),
        ("NotImplemented", 501, "Tagging is not implemented", D),
        ("InvalidArgument", 400, "Unsupported header 'x-amz-checksum-crc64nvme' received for this API call.", U),
        ("InvalidRequest", 400, "Checksum algorithm provided is unsupported.", U),
        ("InvalidArgument", 400, "The encryption algorithm specified is not supported", D),
        ("InvalidArgument", 400, "Part number must be an integer between 1 and 10000", D),
    ],
)
def test_what_a_store_does_not_know(code, status, message, kind):
    """Only an error that may concern a checksum leads to another one; for other options the advice names them."""
    assert wire(status, s3_body(code, message)).kind is kind


def test_the_region_that_the_store_names():
    """If S3 names the bucket's region in a header or the body, the advice has it."""
    moved = wire(301, s3_body("PermanentRedirect"), x_amz_bucket_region="eu-west-1")
    assert moved.advice == "Set the destination's `region` to eu-west-1."
    body = s3_body("AuthorizationHeaderMalformed", more="<Region>eu-west-2</Region>")
    assert (
        wire(400, body).advice == sdk(400, body, "PutObject").advice == "Set the destination's `region` to eu-west-2."
    )
    assert "eu-west-3" in wire(301, b"", "HeadObject", x_amz_bucket_region="eu-west-3").advice
    assert wire(403, s3_body("AccessDenied"), x_amz_bucket_region="eu-west-1").advice.startswith("Account B")
    assert "evil" not in wire(301, b"", x_amz_bucket_region="evil\x1b[2J region").advice


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        *[("3", 3.0), (" 120 ", 120.0), ("0", 0.0), ("9" * 9, 3600.0)],
        *[("9" * 400, None), ("\xb2", None), ("-1", None), ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("", None)],
    ],
)
def test_retry_after(header, pause):
    """A Retry-After in seconds is used up to an hour; any other value is ignored."""
    assert wire(503, retry_after=header).retry_after == pause
    assert sdk(503, b"", "PutObject", retry_after=header).retry_after == pause


def test_a_complete_that_finds_its_upload_used_up():
    """NoSuchUpload on Complete is ambiguous, since an earlier Complete may have succeeded; elsewhere it is not."""
    assert wire(404, s3_body("NoSuchUpload"), "CompleteMultipartUpload").ambiguous
    assert not wire(404, s3_body("NoSuchUpload"), "UploadPart").ambiguous


def test_a_request_that_was_sent_twice():
    """After a request was sent twice its outcome is ambiguous, whatever the second response."""
    assert wire(403, s3_body("AccessDenied"), resent=True).ambiguous
    assert not wire(403, s3_body("AccessDenied")).ambiguous


# Bodies that mean harm


def _bomb() -> bytes:
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 9))
    return b'<!DOCTYPE l [<!ENTITY a0 "aaaaaaaaaa">' + entities + b"]><Error><Code>&a8;</Code></Error>"


@pytest.mark.parametrize(
    "body",
    [
        _bomb(),
        b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><Error><Code>&x;</Code></Error>',
        b"<Error>" + b"<a>" * 10_000,
        b"<Error>" + b"<a>" * 5_000 + b"</a>" * 5_000 + b"</Error>",
        b'<!DOCTYPE l [<!ENTITY x "SlowDown">]><Error><Code>&x;</Code></Error>',
        b"<Error>" + b" " * 100_000 + b"<Code>SlowDown</Code></Error>",
        b"<html><Code>SlowDown</Code></html>",
        b"<X><Error>text</Error></X>",
        b"<Error><Code><x/></Code></Error>",
        b"<Error><Code>with a blank</Code></Error>",
        b"<Error><Code>" + b"x" * 65 + b"</Code></Error>",
        b"<Error><Code>" + b"x" * 10_000_000 + b"</Code></Error>",
    ],
    ids=lambda body: f"{body[:24]!r}",
)
@pytest.mark.parametrize("status", [400, 503])
def test_hostile_bodies(body, status):
    """No hostile body expands, nests too deep or raises; the status then decides."""
    diagnosis = wire(status, body)
    assert diagnosis.code == str(status)
    assert diagnosis.kind is (T if status == 503 else D)
    assert len(str(Fault(diagnosis))) < 1_000


@pytest.mark.parametrize(
    "body",
    [
        b"<Error><Code>SlowDown</Code><Mess",
        b'<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Code>SlowDown</Code></Error>',
        b'<s:Error xmlns:s="urn:x"><s:Code> SlowDown\n</s:Code></s:Error>',
        b"<Error><Code>SlowDown</Code><Code>AccessDenied</Code></Error>",
        b"<ErrorResponse><Error><Code>SlowDown</Code></Error></ErrorResponse>",
        b"<Error><Code>SlowDown</Code><Message>" + b"x" * 1_000_000 + b"</Message></Error>",
        b'<?xml version="1.0" encoding="none-such"?><Error><Code>SlowDown</Code></Error>',
        "<Error><Code>SlowDown</Code></Error>".encode("utf-16"),
    ],
    ids=["half", "namespace", "prefix", "twice", "wrapped", "huge", "encoding", "utf-16"],
)
def test_odd_bodies_that_say_it_all_the_same(body):
    """The code is found in truncated documents, with namespaces and inside other elements."""
    assert wire(400, body).code == "SlowDown"


def test_messages_are_one_short_harmless_line():
    """Line breaks, terminal sequences and excess length are removed from the peer's messages."""
    diagnosis = wire(400, s3_body("Odd", "one\n\n two \u009b2Jthree \u202e" + "x" * 5_000))
    assert diagnosis.message.startswith("one two \\x9b2Jthree \\u202e")
    assert len(diagnosis.message) <= 503
    assert wire(400, s3_body("Odd"), x_amz_request_id="a\x1b[2J" + "b" * 900).request_id == "a\\x1b[2J" + "b" * 120


SECRET_TOKEN = "IQoJb3JpZ2luX2VjEJr" + "A1b2" * 30
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def test_no_message_holds_a_secret():
    """Secrets that AWS echoes from the request, such as token and external ID, are removed."""
    canonical = (
        "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for "
        f"this request should have been\n'POST\n/\n\nhost:sts\nx-amz-security-token:{SECRET_TOKEN}\n\nhost'"
    )
    echo = f"<AWSAccessKeyId>ASIAEXAMPLE</AWSAccessKeyId><StringToSign>x {SECRET_TOKEN} {SECRET_KEY}</StringToSign>"
    value = "1 validation error detected: Value 'my secret! id' at 'externalId' failed to satisfy constraint: pattern"
    output = [
        sdk(403, sts_body("SignatureDoesNotMatch", canonical)).message,
        wire(403, s3_body("SignatureDoesNotMatch", canonical, echo)).message,
        wire(403, s3_body("Odd", f"the key {SECRET_KEY} and the token {SECRET_TOKEN}")).message,
        sdk(400, sts_body("ValidationError", value)).message,
    ]
    for message in output:
        for secret in (SECRET_TOKEN, SECRET_KEY, "my secret! id", "ASIAEXAMPLE"):
            assert secret not in message
    assert output[0].endswith("the signature you provided.")
    assert "failed to satisfy constraint" in output[3]


# Calls without an answer


@pytest.mark.parametrize(
    ("error", "code", "kind", "ambiguous"),
    [
        (NoCredentialsError(), "NoCredentials", D, False),
        (ProfileNotFound(profile="p"), "ProfileNotFound", D, False),
        (ConnectTimeoutError(endpoint_url="https://h", error="x"), "ConnectTimeout", N, False),
        (ReadTimeoutError(endpoint_url="https://h", error="x"), "ReadTimeout", N, True),
        (EndpointConnectionError(endpoint_url="https://h", error="x"), "ConnectionError", N, True),
        (UnauthorizedSSOTokenError(), "UnauthorizedSSOToken", D, False),
        (CredentialRetrievalError(provider="custom-process", error_msg="a\nb"), "CredentialRetrieval", D, False),
        (ResponseParserError(f"invalid XML received:\n<SecretAccessKey>{SECRET_KEY}"), "UnparsableResponse", N, True),
    ],
)
def test_errors_of_botocore(error, code, kind, ambiguous):
    """Each transport error of botocore has its code and kind, and is ambiguous if the request may have arrived."""
    assert isinstance(error, error_map.FOREIGN)
    fault = error_map.from_botocore("AssumeRole", error)
    assert (fault.diagnosis.code, fault.kind, fault.diagnosis.ambiguous) == (code, kind, ambiguous)
    assert fault.diagnosis.status is None
    assert "\n" not in str(fault)
    assert SECRET_KEY not in str(fault)
    assert fault.diagnosis.advice or kind is N


@pytest.mark.parametrize(
    ("code", "kind"),
    [("TLSError", D), ("ProxyError", D), ("DNSError", N), ("ConnectTimeout", N), ("ConnectionReset", N)],
)
@pytest.mark.parametrize("ambiguous", [True, False])
def test_errors_of_the_wire(code, kind, ambiguous):
    """The HTTP client's errors keep their codes and their ambiguity."""
    diagnosis = error_map.from_transport(
        "PutObject", TransportError(code, "what\nhappened", ambiguous=ambiguous)
    ).diagnosis
    assert (diagnosis.code, diagnosis.kind, diagnosis.ambiguous) == (code, kind, ambiguous)
    assert diagnosis.message == "what happened"
