"""Who is calling, and may they: the checks that every call passes before it is carried out."""

from __future__ import annotations

import re
from http import HTTPStatus

from crosshaul.partner.chunked import KINDS
from crosshaul.partner.errors import Refusal, access_denied, invalid_argument, invalid_request
from crosshaul.partner.exchange import Exchange
from crosshaul.partner.identity import (
    Caller,
    authorize,
    authorize_key,
    live_session_fault,
    names_of,
    session_refusal,
)
from crosshaul.partner.policy import Ask
from crosshaul.partner.signature import (
    UNSIGNED,
    Claimed,
    check_signed_headers,
    check_time,
    claim,
)
from crosshaul.partner.store import Bucket

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATING = frozenset({"PutObject", "CompleteMultipartUpload", "CopyObject"})
"""What makes an object (S3 user guide, "Enforce conditional writes", s3:ObjectCreationOperation)."""
_CONDITION_HEADERS = (
    "x-amz-acl",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "if-none-match",
    "if-match",
)


def identify(exchange: Exchange) -> tuple[Claimed, Caller]:
    """Whose signature the request claims to carry, before it is verified; raises Refusal."""
    service = exchange.target.service
    claimed = claim(exchange.received, exchange.target.query)
    if claimed is None:
        raise access_denied() if service == "s3" else _missing_token()
    exchange.claimed = claimed
    if claimed.service != service:
        raise _wrong_service(claimed.service, service)
    caller = exchange.state.directory.find(claimed.access_key_id)
    if caller is None:
        raise _unknown_key(claimed, service)
    check_time(claimed, exchange.now, service=service)
    _check_token(exchange, claimed, caller)
    check_signed_headers(exchange.received, claimed)
    return claimed, caller


def _missing_token() -> Refusal:
    return Refusal(HTTPStatus.FORBIDDEN, "MissingAuthenticationToken", "Request is missing Authentication Token")


def _wrong_service(given: str, service: str) -> Refusal:
    if service == "sts":
        message = "Credential should be scoped to correct service: 'sts'."
        return Refusal(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", message)
    message = f'The authorization header is malformed; incorrect service "{given}". This endpoint belongs to "s3".'
    return Refusal(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", message)


def _unknown_key(claimed: Claimed, service: str) -> Refusal:
    if service == "sts":
        message = "The security token included in the request is invalid."
        return Refusal(HTTPStatus.FORBIDDEN, "InvalidClientTokenId", message)
    message = "The AWS Access Key Id you provided does not exist in our records."
    return Refusal(HTTPStatus.FORBIDDEN, "InvalidAccessKeyId", message, {"AWSAccessKeyId": claimed.access_key_id})


def _check_token(exchange: Exchange, claimed: Claimed, caller: Caller) -> None:
    service = exchange.target.service
    if claimed.token != caller.token:
        raise session_refusal("InvalidToken", service=service)
    code = live_session_fault(exchange.state.directory, caller, exchange.now)
    if code:
        raise session_refusal(code, service=service)


def bucket_of(exchange: Exchange, claimed: Claimed) -> Bucket:
    """The bucket, when it exists, is in the region that was signed for, and is whose the caller expects."""
    target = exchange.target
    bucket = exchange.state.buckets.get(target.bucket)
    if bucket is None:
        raise Refusal(
            HTTPStatus.NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist", {"BucketName": target.bucket}
        )
    if claimed.region != bucket.region:
        raise _wrong_region(exchange, claimed, bucket)
    return bucket


def _wrong_region(exchange: Exchange, claimed: Claimed, bucket: Bucket) -> Refusal:
    headers = {"x-amz-bucket-region": bucket.region}
    if bucket.region != exchange.settings.region and claimed.region == exchange.settings.region:
        return Refusal(
            HTTPStatus.MOVED_PERMANENTLY,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. "
            "Please send all future requests to this endpoint.",
            {"Endpoint": f"{bucket.name}.s3.{bucket.region}.amazonaws.com", "Bucket": bucket.name},
            headers,
        )
    message = (
        f"The authorization header is malformed; the region '{claimed.region}' is wrong; expecting '{bucket.region}'"
    )
    return Refusal(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", message, {"Region": bucket.region}, headers)


def authenticate(exchange: Exchange) -> Bucket | None:
    """Identify and verify an S3 request, in the order S3 does; None for one on the service. Raises Refusal."""
    claimed, caller = identify(exchange)
    bucket = bucket_of(exchange, claimed) if exchange.target.bucket else None
    _check_payload_kind(exchange, claimed)
    exchange.state.verifier.verify(exchange.received, claimed, caller.secret, claimed.payload)
    exchange.caller = caller
    expected = exchange.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and bucket is not None and expected != bucket.owner:
        raise access_denied()
    return bucket


def _check_payload_kind(exchange: Exchange, claimed: Claimed) -> None:
    payload = claimed.payload
    if claimed.expires is not None:
        return
    if not payload:
        raise invalid_request("Missing required header for this request: x-amz-content-sha256")
    if payload != UNSIGNED and payload not in KINDS and not _SHA256.fullmatch(payload):
        message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-*, or a valid sha256 value."
        raise invalid_argument(message, "x-amz-content-sha256", payload)
    if payload == UNSIGNED and exchange.settings.unsigned != "taken":
        code = exchange.settings.unsigned
        status = HTTPStatus.FORBIDDEN if code in {"AccessDenied", "SignatureDoesNotMatch"} else HTTPStatus.BAD_REQUEST
        raise Refusal(status, code, "The payload has to be signed.")
    if "UNSIGNED" in payload and not exchange.secure:
        raise invalid_request(f"x-amz-content-sha256: {payload} is accepted over HTTPS only.")


def allow(exchange: Exchange, action: str, resource: str | None = None) -> None:
    """Let the caller do ``action`` on the target, or on ``resource``; raises Refusal (AccessDenied)."""
    caller, state = exchange.who, exchange.state
    owner = state.settings.partner_account
    principals, denials = names_of(caller, owner)
    ask = Ask(action, resource or exchange.target.resource, _context(exchange), principals, denials)
    if action.startswith("kms:"):
        authorize_key(caller, state.policies, owner, ask)
        return
    ours = exchange.target.bucket == state.settings.bucket and action.startswith("s3:")
    authorize(caller, state.policies, state.policies.bucket if ours else state.policies.silent, owner, ask)


def _context(exchange: Exchange) -> dict[str, str]:
    caller = exchange.who
    context = {
        "aws:principalarn": caller.role_arn or caller.arn,
        "aws:principalaccount": caller.account,
        "aws:userid": caller.user_id,
        "aws:securetransport": str(exchange.secure).lower(),
        "aws:sourceip": exchange.request.remote or "",
        "aws:currenttime": str(exchange.now),
        "s3:objectcreationoperation": str(exchange.target.operation in _CREATING).lower(),
        "s3:resourceaccount": exchange.settings.partner_account,
        "kms:viaservice": f"s3.{exchange.settings.region}.amazonaws.com",
    }
    if caller.token:
        context["aws:tokenissuetime"] = str(caller.issued)
    for name in _CONDITION_HEADERS:
        if name in exchange.headers:
            context[f"s3:{name}"] = exchange.headers[name]
    if "prefix" in exchange.target.query:
        context["s3:prefix"] = exchange.target.query["prefix"]
    return context
