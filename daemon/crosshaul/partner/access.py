"""Authenticate and authorize each request before its operation runs."""

from __future__ import annotations

import re
from http import HTTPStatus

from crosshaul.partner.authorization import (
    UNSIGNED,
    Authorization,
    check_signed_headers,
    check_time,
    parse_authorization,
)
from crosshaul.partner.chunked import KINDS
from crosshaul.partner.errors import ApiError, access_denied, invalid_argument, invalid_request
from crosshaul.partner.exchange import Exchange
from crosshaul.partner.identity import (
    Caller,
    authorize,
    authorize_key,
    names_of,
    session_error,
    session_fault,
)
from crosshaul.partner.policy import AccessRequest
from crosshaul.partner.store import Bucket

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATING = frozenset({"PutObject", "CompleteMultipartUpload", "CopyObject"})
"""Operations that create an object (S3 user guide, "Enforce conditional writes", s3:ObjectCreationOperation)."""
_CONDITION_HEADERS = (
    "x-amz-acl",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "if-none-match",
    "if-match",
)


def identify(exchange: Exchange) -> tuple[Authorization, Caller]:
    """Find the caller that a request names, before its signature is verified; raises ApiError."""
    service = exchange.target.service
    authorization = parse_authorization(exchange.raw, exchange.target.query)
    if authorization is None:
        raise access_denied() if service == "s3" else _missing_token()
    exchange.authorization = authorization
    if authorization.service != service:
        raise _wrong_service(authorization.service, service)
    caller = exchange.state.credentials.find(authorization.access_key_id)
    if caller is None:
        raise _unknown_key(authorization, service)
    check_time(authorization, exchange.now, service=service)
    _check_token(exchange, authorization, caller)
    check_signed_headers(exchange.raw, authorization)
    return authorization, caller


def _missing_token() -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, "MissingAuthenticationToken", "Request is missing Authentication Token")


def _wrong_service(given: str, service: str) -> ApiError:
    if service == "sts":
        message = "Credential should be scoped to correct service: 'sts'."
        return ApiError(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", message)
    message = f'The authorization header is malformed; incorrect service "{given}". This endpoint belongs to "s3".'
    return ApiError(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", message)


def _unknown_key(authorization: Authorization, service: str) -> ApiError:
    if service == "sts":
        message = "The security token included in the request is invalid."
        return ApiError(HTTPStatus.FORBIDDEN, "InvalidClientTokenId", message)
    message = "The AWS Access Key Id you provided does not exist in our records."
    return ApiError(
        HTTPStatus.FORBIDDEN, "InvalidAccessKeyId", message, {"AWSAccessKeyId": authorization.access_key_id}
    )


def _check_token(exchange: Exchange, authorization: Authorization, caller: Caller) -> None:
    service = exchange.target.service
    if authorization.token != caller.token:
        raise session_error("InvalidToken", service=service)
    code = session_fault(exchange.state.credentials, caller, exchange.now)
    if code:
        raise session_error(code, service=service)


def bucket_of(exchange: Exchange, authorization: Authorization) -> Bucket:
    """Find the target bucket; raises ApiError when it is missing or in another region than the signature's."""
    target = exchange.target
    bucket = exchange.state.buckets.get(target.bucket)
    if bucket is None:
        raise ApiError(
            HTTPStatus.NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist", {"BucketName": target.bucket}
        )
    if authorization.region != bucket.region:
        raise _wrong_region(exchange, authorization, bucket)
    return bucket


def _wrong_region(exchange: Exchange, authorization: Authorization, bucket: Bucket) -> ApiError:
    headers = {"x-amz-bucket-region": bucket.region}
    if bucket.region != exchange.settings.region and authorization.region == exchange.settings.region:
        return ApiError(
            HTTPStatus.MOVED_PERMANENTLY,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. "
            "Please send all future requests to this endpoint.",
            {"Endpoint": f"{bucket.name}.s3.{bucket.region}.amazonaws.com", "Bucket": bucket.name},
            headers,
        )
    signed = authorization.region
    message = f"The authorization header is malformed; the region '{signed}' is wrong; expecting '{bucket.region}'"
    return ApiError(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed", message, {"Region": bucket.region}, headers)


def authenticate(exchange: Exchange) -> Bucket | None:
    """Verify an S3 request in S3's order and return its bucket, None for ListBuckets; raises ApiError."""
    authorization, caller = identify(exchange)
    bucket = bucket_of(exchange, authorization) if exchange.target.bucket else None
    _check_payload_kind(exchange, authorization)
    exchange.state.verifier.verify(exchange.raw, authorization, caller.secret, authorization.payload)
    exchange.caller = caller
    expected = exchange.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and bucket is not None and expected != bucket.owner:
        raise access_denied()
    return bucket


def _check_payload_kind(exchange: Exchange, authorization: Authorization) -> None:
    payload = authorization.payload
    if authorization.expires is not None:
        return
    if not payload:
        raise invalid_request("Missing required header for this request: x-amz-content-sha256")
    if payload != UNSIGNED and payload not in KINDS and not _SHA256.fullmatch(payload):
        message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-*, or a valid sha256 value."
        raise invalid_argument(message, "x-amz-content-sha256", payload)
    if payload == UNSIGNED and exchange.settings.unsigned != "accepted":
        code = exchange.settings.unsigned
        status = HTTPStatus.FORBIDDEN if code in {"AccessDenied", "SignatureDoesNotMatch"} else HTTPStatus.BAD_REQUEST
        raise ApiError(status, code, "The payload has to be signed.")
    if "UNSIGNED" in payload and not exchange.secure:
        raise invalid_request(f"x-amz-content-sha256: {payload} is accepted over HTTPS only.")


def allow(exchange: Exchange, action: str, resource: str | None = None) -> None:
    """Authorize ``action`` on the target, or on ``resource``; raises ApiError (AccessDenied)."""
    caller, state = exchange.authenticated_caller, exchange.state
    owner = state.settings.partner_account
    principals, denials = names_of(caller, owner)
    access = AccessRequest(action, resource or exchange.target.resource, _context(exchange), principals, denials)
    if action.startswith("kms:"):
        authorize_key(caller, state.policies, owner, access)
        return
    has_policy = exchange.target.bucket == state.settings.bucket and action.startswith("s3:")
    authorize(caller, state.policies, state.policies.bucket if has_policy else state.policies.empty, owner, access)


def _context(exchange: Exchange) -> dict[str, str]:
    caller = exchange.authenticated_caller
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
