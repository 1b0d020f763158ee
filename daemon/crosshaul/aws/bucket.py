"""One partner's bucket as the transfer loop sees it: aioboto3 talks, the wire carries, and both use one session.

Everything here needs PutObject and GetObject only. Every method raises Fault and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from crosshaul.aws import identifiers
from crosshaul.aws.conditional_writes import Condition
from crosshaul.aws.control_client import Location, S3ControlClient
from crosshaul.aws.error_codes import CHECK_PROXY
from crosshaul.aws.object_headers import CHECK_KEY, SOURCE, TOKEN, ObjectAttributes
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.sigv4 import Credentials
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.config import Destination
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import Payload, StreamingChecksum
from crosshaul.integrity.streamed_body import StreamedBody
from crosshaul.integrity.verify import HeadResult, UploadResult, proves_storage, verify_upload
from crosshaul.model import Checksum, ChecksumKind, Multipart, Part

_T = TypeVar("_T")
_ANSWERS = frozenset({"NoSuchKey", "AccessDenied", "InvalidRange"})
_MISSES = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucketPolicy", "NoSuchUpload"})
_LONGEST_SOURCE = 64
_PIECE_BYTES = 1 << 20
_REFUSES_UNSIGNED = frozenset({400, 403, 501})
_MAY_BE_UNSIGNED = frozenset({FaultKind.DESTINATION, FaultKind.CORRUPT, FaultKind.UNSUPPORTED})
_DONT_KNOW = frozenset({"403", "404", "AccessDenied", "NoSuchKey", "NotFound"})


class Bucket:
    """The calls on one bucket; one that is refused as expired is signed once more, with a new session."""

    def __init__(
        self,
        destination: Destination,
        refresher: Refresher,
        control: S3ControlClient,
        wire_to: Callable[[Location], Awaitable[S3UploadClient]],
        source: str = "",
    ) -> None:
        self.source = source
        self._destination = destination
        self._attributes = ObjectAttributes(destination, source)
        self._refresher = refresher
        self._control = control
        self._wire_to = wire_to
        self._wire: S3UploadClient | None = None
        self._locating = asyncio.Lock()
        self._signed: bool = True
        self._unsigned_taken = False
        """Whether a body was taken that SigV4 left unsigned."""

    async def close(self) -> None:
        """Close all connections."""
        if self._wire is not None:
            await self._wire.close()
        await self._control.close()

    async def needs_hash(self) -> bool:
        """Whether the body has to be signed, as it has without TLS."""
        if self._wire is None:
            await self._opened()
        return self._signed

    async def put_object(
        self, key: str, payload: Payload, mtime_ns: int, token: str, *, condition: Condition | None
    ) -> UploadResult:
        """PutObject, proven by its answer, or else by HEAD; only if ``condition`` is true of the key."""
        headers = self._attributes.headers(key, mtime_ns, token)
        if condition is not None:
            headers.append(condition.header())
        wire = self._wire or await self._opened()
        try:
            answer = await self._with_session(lambda session: wire.put_object(session, key, headers, payload))
            self._unsigned_taken = True
        except Fault as fault:
            signed = await self._signed_instead(payload, fault)
            answer = await self._with_session(lambda session: wire.put_object(session, key, headers, signed))
            self._signed = True
        verify_upload("PutObject", payload.checksums, answer)
        if not proves_storage(payload.checksums, answer):
            await self._confirm(key, token, payload)
        return answer

    async def _confirm(self, key: str, token: str, payload: Payload) -> None:
        """Ask for what an answer left open: some stores give neither a checksum nor an MD5, and strangers never do."""
        held = await self.head_object(key)
        if held is None or (held.token, held.size) != (token, payload.size):
            raise _unverified_upload()
        verify_upload(
            "HeadObject",
            payload.checksums,
            UploadResult(held.etag, held.checksum, encrypted_by_kms=held.encrypted_by_kms),
        )

    async def create_multipart_upload(self, key: str, mtime_ns: int, token: str, kind: ChecksumKind) -> str:
        """CreateMultipartUpload; returns the upload id."""
        carried = self._attributes.of_object(key, mtime_ns, token)
        if kind is not ChecksumKind.MD5:
            carried |= {"ChecksumAlgorithm": kind.value, "ChecksumType": "FULL_OBJECT"}
        created = await self._call("create_multipart_upload", key, **carried)
        if not 0 < len(str(created.get("UploadId") or "")) <= identifiers.LONGEST:
            raise _unexpected_response("CreateMultipartUpload", "an upload id")
        return str(created["UploadId"])

    async def upload_part(self, key: str, upload_id: str, number: int, payload: Payload) -> UploadResult:
        """UploadPart, checked against its answer."""
        owner = self._destination.expected_bucket_owner
        headers = [("x-amz-expected-bucket-owner", owner)] if owner else []
        wire = await self._opened()
        send = partial(self._part, wire, key, upload_id, number, headers)
        if self._signed and payload.sha256 is None:
            payload = await _hashed(payload)  # it was read before another part found that out
        try:
            answer = await send(payload)
            self._unsigned_taken = True
        except Fault as fault:
            answer = await send(await self._signed_instead(payload, fault))
            self._signed = True
        verify_upload("UploadPart", payload.checksums, answer)
        return answer

    async def _part(
        self,
        wire: S3UploadClient,
        key: str,
        upload_id: str,
        number: int,
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> UploadResult:
        return await self._with_session(
            lambda session: wire.upload_part(session, key, upload_id, number, headers, payload)
        )

    async def _signed_instead(self, payload: Payload, fault: Fault) -> Payload:
        """The payload with its hash, for a store that may refuse UNSIGNED-PAYLOAD; raises ``fault`` if that is not it.

        Stores and policies refuse it in many words. One that took such a body before means something else.
        """
        refused = fault.diagnosis.status in _REFUSES_UNSIGNED and fault.kind in _MAY_BE_UNSIGNED
        if payload.sha256 is not None or self._unsigned_taken or not refused:
            raise fault
        return await _hashed(payload)

    async def complete_multipart_upload(
        self, multipart: Multipart, whole: Checksum | None, *, size: int, condition: Condition | None
    ) -> UploadResult:
        """CompleteMultipartUpload, with the full object's checksum and size where the store knows them."""
        extra: dict[str, Any] = {"MultipartUpload": {"Parts": [_completed(part) for part in multipart.parts]}}
        if whole is not None:
            extra |= {"ChecksumType": "FULL_OBJECT", f"Checksum{whole.kind.value}": whole.value, "MpuObjectSize": size}
        if condition is not None:
            extra |= condition.parameter()
        answer = await self._with_session(
            lambda _: self._control.complete(multipart.key, {"UploadId": multipart.upload_id, **extra})
        )
        told = _answer(answer)
        if not answer.keys() & {"ETag", "Key", "Location"}:  # Ceph's gateway may leave out the ETag
            raise _unexpected_response("CompleteMultipartUpload", "the object's name and ETag")
        verify_upload("CompleteMultipartUpload", (whole,) if whole and told.checksum else (), told)
        return told

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        """AbortMultipartUpload, where the role may."""
        await self._call("abort_multipart_upload", key, UploadId=upload_id)

    async def head_object(self, key: str, *, expected: bool = False) -> HeadResult | None:
        """What lies under ``key``; None for "nothing, or don't know" (without ListBucket, S3 says 403 to both).

        ``expected``: it is likely to be there. A role without kms:Decrypt may not see the checksum of what is encrypted
        by KMS, and gets a 403 for asking; then it is worth asking without.
        """
        try:
            answer = await self._call("head_object", key, ChecksumMode="ENABLED")
        except Fault as fault:
            if fault.diagnosis.code not in _DONT_KNOW:
                raise
            if not expected:
                return None
            return await self._head_without_checksum(key)
        return _held(answer)

    async def _head_without_checksum(self, key: str) -> HeadResult | None:
        try:
            return _held(await self._call("head_object", key))
        except Fault as fault:
            if fault.diagnosis.code in _DONT_KNOW:
                return None
            raise

    async def get_range(self, key: str, first: int, last: int) -> bytes:
        """The bytes ``first`` to ``last``, both included, by a ranged GET."""
        return await self._with_session(lambda _: self._control.get_range(key, first, last))

    async def probe(self, prefix: str) -> None:
        """Whether the bucket answers this session at all; a missing key's 403 or 404 is a good answer."""
        try:
            await self._call("get_object", prefix + CHECK_KEY, Range="bytes=0-0")
        except Fault as fault:
            if fault.diagnosis.operation != "GetObject" or fault.diagnosis.code not in _ANSWERS:
                raise

    async def status_of(self, key: str) -> int | None:
        """HEAD's HTTP status."""
        try:
            await self._call("head_object", key)
        except Fault as fault:
            return fault.diagnosis.status
        return 200

    async def may(self, operation: str, key: str | None = None, **parameters: object) -> bool:
        """Whether this session was seen to be allowed a call: it succeeds, or misses only what it asked for."""
        try:
            await self._call(operation, key, **parameters)
        except Fault as fault:
            return fault.diagnosis.code in _MISSES
        return True

    async def sees_other_buckets(self) -> bool:
        """Whether this session may list the account's buckets."""
        try:
            await self._with_session(lambda _: self._control.ask("list_buckets", {}))
        except Fault:
            return False
        return True

    async def sees_iam(self) -> bool:
        """Whether this session may look into the account's IAM, where there is one to ask."""
        return await self._control.reads_iam()

    async def encryption_of(self, key: str) -> tuple[str | None, str | None]:
        """How an object is encrypted, as S3 tells it: the mode, and the ARN of the KMS key."""
        answer = await self._call("head_object", key)
        return answer.get("ServerSideEncryption"), answer.get("SSEKMSKeyId")

    async def _call(self, operation: str, key: str | None, **parameters: object) -> dict[str, Any]:
        return await self._with_session(lambda _: self._control.call(operation, key, parameters))

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

    async def _opened(self) -> S3UploadClient:
        if self._wire is None:
            async with self._locating:
                if self._wire is None:
                    location = await self._control.location()
                    self._signed = location.scheme != "https"
                    self._wire = await self._wire_to(location)
        return self._wire


async def _hashed(payload: Payload) -> Payload:
    """The same with its SHA-256, which takes another reading."""
    running, data = StreamingChecksum((), hashed=True), payload.data
    if isinstance(data, StreamedBody):
        for start in range(0, payload.size, _PIECE_BYTES):
            piece = await data.piece(start, start + _PIECE_BYTES).data()
            await asyncio.to_thread(running.update, piece)
    else:
        await asyncio.to_thread(running.update, data)
    return payload._replace(sha256=running.sha256())


def _held(answer: dict[str, Any]) -> HeadResult:
    if "ContentLength" not in answer:
        raise _unexpected_response("HeadObject", "a content length")
    told, metadata, size = _answer(answer), answer.get("Metadata", {}), int(answer["ContentLength"])
    source = printable(metadata.get(SOURCE, ""))[:_LONGEST_SOURCE] or None  # whoever may write there wrote it
    kms = told.encrypted_by_kms
    return HeadResult(size, metadata.get(TOKEN), told.etag, told.checksum, told.version_id, kms, source)


def _advised(fault: Fault) -> Fault:
    """New credentials were called expired as well: that may be the clock's fault."""
    if fault.kind is not FaultKind.EXPIRED or fault.diagnosis.advice:
        return fault
    return Fault(replace(fault.diagnosis, advice="Check this machine's clock."))


def _unexpected_response(operation: str, what: str) -> Fault:
    """Return the fault of a 200 that lacks a required field: sent by a proxy, or cut short."""
    text = f"the response lacks {what} (is there a proxy?)"
    return Fault(
        Diagnosis(
            FaultKind.NETWORK, "UnexpectedResponse", text, operation, status=200, advice=CHECK_PROXY, ambiguous=True
        )
    )


def _unverified_upload() -> Fault:
    text = "the upload is not verified: the response has no checksum and no MD5, and HEAD does not find the object"
    advice = f"Account B's admin: allow s3:GetObject in the role's policy. {CHECK_PROXY}"
    code, kind = "UnverifiedUpload", FaultKind.DESTINATION
    return Fault(Diagnosis(kind, code, text, "PutObject", status=200, advice=advice, ambiguous=True))


def _completed(part: Part) -> dict[str, Any]:
    entry: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.checksum.kind is not ChecksumKind.MD5:
        entry[f"Checksum{part.checksum.kind.value}"] = part.checksum.value
    return entry


def _answer(answer: dict[str, Any]) -> UploadResult:
    kinds = (ChecksumKind.CRC64NVME, ChecksumKind.CRC32)
    checksum = next((Checksum(kind, value) for kind in kinds if (value := answer.get(f"Checksum{kind.value}"))), None)
    return UploadResult(
        etag=str(answer.get("ETag", "")).strip('"')[: identifiers.LONGEST],
        checksum=checksum if answer.get("ChecksumType") != "COMPOSITE" else None,
        version_id=identifiers.version_id(answer.get("VersionId")),
        request_id=identifiers.request_id(answer.get("ResponseMetadata", {}).get("RequestId")),
        encrypted_by_kms=str(answer.get("ServerSideEncryption", "")).startswith("aws:kms"),
    )
