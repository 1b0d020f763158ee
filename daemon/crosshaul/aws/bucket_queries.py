"""Calls without a body on one partner's bucket: HEAD, ranged GET, and probes of the session's rights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from crosshaul.aws import returned_ids
from crosshaul.aws.control_client import S3ControlClient
from crosshaul.aws.error_codes import CHECK_PROXY
from crosshaul.aws.object_headers import CHECK_KEY, SOURCE, TOKEN
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.sigv4 import Credentials
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.verify import HeadResult, UploadResult
from crosshaul.model import Checksum, ChecksumKind

_T = TypeVar("_T")
_REACHABLE_CODES = frozenset({"NoSuchKey", "AccessDenied", "InvalidRange"})
"""Errors of a GetObject that the bucket itself sends."""
_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucketPolicy", "NoSuchUpload"})
"""Errors of a permitted call whose subject does not exist."""
_MAX_SOURCE_CHARACTERS = 64
_UNKNOWN_CODES = frozenset({"403", "404", "AccessDenied", "NoSuchKey", "NotFound"})
"""Errors of HEAD for both a missing object and a missing permission."""


class BucketQueries:
    """Calls that read; one that is refused as expired is repeated once, with a new session."""

    def __init__(self, refresher: Refresher, control_client: S3ControlClient) -> None:
        self._refresher = refresher
        self._control_client = control_client

    async def head_object(self, key: str, *, expected: bool = False) -> HeadResult | None:
        """Return the object under ``key``; None if there is none, or if S3 does not tell (403 without ListBucket).

        ``expected``: the object probably exists. A role without kms:Decrypt gets a 403 for the checksum of an object
        that KMS encrypts; then HEAD is repeated without the checksum.
        """
        try:
            response = await self._call("head_object", key, ChecksumMode="ENABLED")
        except Fault as fault:
            if fault.diagnosis.code not in _UNKNOWN_CODES:
                raise
            if not expected:
                return None
            return await self._head_without_checksum(key)
        return _head_result(response)

    async def _head_without_checksum(self, key: str) -> HeadResult | None:
        try:
            return _head_result(await self._call("head_object", key))
        except Fault as fault:
            if fault.diagnosis.code in _UNKNOWN_CODES:
                return None
            raise

    async def get_range(self, key: str, first: int, last: int) -> bytes:
        """Return the bytes ``first`` to ``last``, both included, by a ranged GET."""
        return await self._with_session(lambda _: self._control_client.get_range(key, first, last))

    async def probe(self, prefix: str) -> None:
        """Raise Fault unless the bucket responds to this session; 403 and 404 for a missing key are responses."""
        try:
            await self._call("get_object", prefix + CHECK_KEY, Range="bytes=0-0")
        except Fault as fault:
            if fault.diagnosis.operation != "GetObject" or fault.diagnosis.code not in _REACHABLE_CODES:
                raise

    async def status_of(self, key: str) -> int | None:
        """Return the HTTP status of HEAD."""
        try:
            await self._call("head_object", key)
        except Fault as fault:
            return fault.diagnosis.status
        return 200

    async def may(self, operation: str, key: str | None = None, **parameters: object) -> bool:
        """Return whether this session may make a call: the call succeeds, or only its subject is missing."""
        try:
            await self._call(operation, key, **parameters)
        except Fault as fault:
            return fault.diagnosis.code in _MISSING_CODES
        return True

    async def sees_other_buckets(self) -> bool:
        """Return whether this session may list the account's buckets."""
        try:
            await self._with_session(lambda _: self._control_client.request("list_buckets", {}))
        except Fault:
            return False
        return True

    async def sees_iam(self) -> bool:
        """Return whether this session may read the account's IAM; False for stores without IAM."""
        return await self._control_client.reads_iam()

    async def encryption_of(self, key: str) -> tuple[str | None, str | None]:
        """Return an object's encryption from HEAD: the mode, and the ARN of the KMS key."""
        response = await self._call("head_object", key)
        return response.get("ServerSideEncryption"), response.get("SSEKMSKeyId")

    async def _call(self, operation: str, key: str | None, **parameters: object) -> dict[str, Any]:
        return await self._with_session(lambda _: self._control_client.call(operation, key, parameters))

    async def _with_session(self, call: Callable[[Credentials], Awaitable[_T]]) -> _T:
        credentials = await self._refresher.credentials()
        try:
            return await call(credentials)
        except Fault as fault:
            if fault.kind is not FaultKind.EXPIRED:
                raise
        await self._refresher.renew(credentials)
        try:
            return await call(await self._refresher.credentials())
        except Fault as fault:
            raise _advised(fault) from fault


def _head_result(response: dict[str, Any]) -> HeadResult:
    if "ContentLength" not in response:
        raise unexpected_response("HeadObject", "a content length")
    result, metadata, size = upload_result(response), response.get("Metadata", {}), int(response["ContentLength"])
    source = (
        printable(metadata.get(SOURCE, ""))[:_MAX_SOURCE_CHARACTERS] or None
    )  # any writer of the bucket may have set it
    kms = result.encrypted_by_kms
    return HeadResult(size, metadata.get(TOKEN), result.etag, result.checksum, result.version_id, kms, source)


def _advised(fault: Fault) -> Fault:
    """Advise to check the clock where S3 calls new credentials expired, too."""
    if fault.kind is not FaultKind.EXPIRED or fault.diagnosis.advice:
        return fault
    return Fault(replace(fault.diagnosis, advice="Check this machine's clock."))


def unexpected_response(operation: str, what: str) -> Fault:
    """Return the fault of a 200 that lacks a required field: sent by a proxy, or cut short."""
    text = f"the response lacks {what} (is there a proxy?)"
    return Fault(
        Diagnosis(
            FaultKind.NETWORK, "UnexpectedResponse", text, operation, status=200, advice=CHECK_PROXY, ambiguous=True
        )
    )


def upload_result(response: dict[str, Any]) -> UploadResult:
    """Return the result in a response of botocore's; identifiers are cut to the lengths that the journal keeps."""
    kinds = (ChecksumKind.CRC64NVME, ChecksumKind.CRC32)
    checksum = next((Checksum(kind, value) for kind in kinds if (value := response.get(f"Checksum{kind.value}"))), None)
    return UploadResult(
        etag=str(response.get("ETag", "")).strip('"')[: returned_ids.MAX_CHARACTERS],
        checksum=checksum if response.get("ChecksumType") != "COMPOSITE" else None,
        version_id=returned_ids.version_id(response.get("VersionId")),
        request_id=returned_ids.request_id(response.get("ResponseMetadata", {}).get("RequestId")),
        encrypted_by_kms=str(response.get("ServerSideEncryption", "")).startswith("aws:kms"),
    )
