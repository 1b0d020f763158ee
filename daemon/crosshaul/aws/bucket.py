"""One partner's bucket for delivery: uploads through the upload client, all other calls through the control client.

Both use one session. Delivery needs PutObject and GetObject only. Every method raises Fault and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from crosshaul.aws import returned_ids
from crosshaul.aws.bucket_queries import BucketQueries, unexpected_response, upload_result
from crosshaul.aws.conditional_writes import Condition
from crosshaul.aws.control_client import Location, S3ControlClient
from crosshaul.aws.error_codes import CHECK_PROXY
from crosshaul.aws.object_headers import ObjectAttributes
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import Payload, StreamingChecksum
from crosshaul.integrity.streamed_body import StreamedBody
from crosshaul.integrity.verify import UploadResult, proves_storage, verify_upload
from crosshaul.model import Checksum, ChecksumKind, Multipart, Part

_READ_BYTES = 1 << 20
_UNSIGNED_REFUSED_STATUSES = frozenset({400, 403, 501})
_UNSIGNED_REFUSED_KINDS = frozenset({FaultKind.DESTINATION, FaultKind.CORRUPT, FaultKind.UNSUPPORTED})


class Bucket(BucketQueries):
    """Calls on one bucket; one that is refused as expired is repeated once, with a new session."""

    def __init__(
        self,
        destination: Destination,
        refresher: Refresher,
        control_client: S3ControlClient,
        connect: Callable[[Location], Awaitable[S3UploadClient]],
        source: str = "",
    ) -> None:
        """``connect`` creates the upload client for the bucket's location."""
        super().__init__(refresher, control_client)
        self.source = source
        self._destination = destination
        self._attributes = ObjectAttributes(destination, source)
        self._connect = connect
        self._upload_client: S3UploadClient | None = None
        self._locating = asyncio.Lock()
        self._signs_bodies = True
        self._accepts_unsigned = False
        """The store has accepted a body that SigV4 left unsigned."""

    async def close(self) -> None:
        """Close all connections."""
        if self._upload_client is not None:
            await self._upload_client.close()
        await self._control_client.close()

    async def needs_hash(self) -> bool:
        """Return whether bodies have to be signed, as without TLS."""
        if self._upload_client is None:
            await self._opened()
        return self._signs_bodies

    async def put_object(
        self, key: str, payload: Payload, mtime_ns: int, token: str, *, condition: Condition | None
    ) -> UploadResult:
        """PutObject, proven by its response or else by HEAD; ``condition`` has to be true of the key."""
        headers = self._attributes.headers(key, mtime_ns, token)
        if condition is not None:
            headers.append(condition.header())
        client = self._upload_client or await self._opened()
        try:
            response = await self._with_session(lambda session: client.put_object(session, key, headers, payload))
            self._accepts_unsigned = True
        except Fault as fault:
            signed = await self._signed_instead(payload, fault)
            response = await self._with_session(lambda session: client.put_object(session, key, headers, signed))
            self._signs_bodies = True
        verify_upload("PutObject", payload.checksums, response)
        if not proves_storage(payload.checksums, response):
            await self._confirm(key, token, payload)
        return response

    async def _confirm(self, key: str, token: str, payload: Payload) -> None:
        """Prove an upload by HEAD: some stores return neither a checksum nor an MD5, and a proxy returns none."""
        head = await self.head_object(key)
        if head is None or (head.token, head.size) != (token, payload.size):
            raise _unverified_upload()
        verify_upload(
            "HeadObject",
            payload.checksums,
            UploadResult(head.etag, head.checksum, encrypted_by_kms=head.encrypted_by_kms),
        )

    async def create_multipart_upload(self, key: str, mtime_ns: int, token: str, kind: ChecksumKind) -> str:
        """CreateMultipartUpload; return the upload id."""
        parameters = self._attributes.parameters_of(key, mtime_ns, token)
        if kind is not ChecksumKind.MD5:
            parameters |= {"ChecksumAlgorithm": kind.value, "ChecksumType": "FULL_OBJECT"}
        created = await self._call("create_multipart_upload", key, **parameters)
        if not 0 < len(str(created.get("UploadId") or "")) <= returned_ids.MAX_CHARACTERS:
            raise unexpected_response("CreateMultipartUpload", "an upload id")
        return str(created["UploadId"])

    async def upload_part(self, key: str, upload_id: str, number: int, payload: Payload) -> UploadResult:
        """UploadPart, verified by its response."""
        owner = self._destination.expected_bucket_owner
        headers = [("x-amz-expected-bucket-owner", owner)] if owner else []
        client = await self._opened()
        send = partial(self._part, client, key, upload_id, number, headers)
        if self._signs_bodies and payload.sha256 is None:
            payload = await _hashed(payload)  # read before another part was refused unsigned
        try:
            response = await send(payload)
            self._accepts_unsigned = True
        except Fault as fault:
            response = await send(await self._signed_instead(payload, fault))
            self._signs_bodies = True
        verify_upload("UploadPart", payload.checksums, response)
        return response

    async def _part(
        self,
        client: S3UploadClient,
        key: str,
        upload_id: str,
        number: int,
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> UploadResult:
        return await self._with_session(
            lambda session: client.upload_part(session, key, upload_id, number, headers, payload)
        )

    async def _signed_instead(self, payload: Payload, fault: Fault) -> Payload:
        """Return the payload with its hash if ``fault`` may be a refusal of UNSIGNED-PAYLOAD; else raise it.

        Stores and policies refuse unsigned bodies with many codes. A store that has accepted one means another fault.
        """
        refused = fault.diagnosis.status in _UNSIGNED_REFUSED_STATUSES and fault.kind in _UNSIGNED_REFUSED_KINDS
        if payload.sha256 is not None or self._accepts_unsigned or not refused:
            raise fault
        return await _hashed(payload)

    async def complete_multipart_upload(
        self, multipart: Multipart, whole: Checksum | None, *, size: int, condition: Condition | None
    ) -> UploadResult:
        """CompleteMultipartUpload, with the checksum and size of the whole object where the store supports them."""
        extra: dict[str, Any] = {"MultipartUpload": {"Parts": [_completed(part) for part in multipart.parts]}}
        if whole is not None:
            extra |= {"ChecksumType": "FULL_OBJECT", f"Checksum{whole.kind.value}": whole.value, "MpuObjectSize": size}
        if condition is not None:
            extra |= condition.parameter()
        response = await self._with_session(
            lambda _: self._control_client.complete(multipart.key, {"UploadId": multipart.upload_id, **extra})
        )
        result = upload_result(response)
        if not response.keys() & {"ETag", "Key", "Location"}:  # Ceph's gateway may leave out the ETag
            raise unexpected_response("CompleteMultipartUpload", "the object's name and ETag")
        verify_upload("CompleteMultipartUpload", (whole,) if whole and result.checksum else (), result)
        return result

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        """AbortMultipartUpload."""
        await self._call("abort_multipart_upload", key, UploadId=upload_id)

    async def _opened(self) -> S3UploadClient:
        if self._upload_client is None:
            async with self._locating:
                if self._upload_client is None:
                    location = await self._control_client.location()
                    self._signs_bodies = location.scheme != "https"
                    self._upload_client = await self._connect(location)
        return self._upload_client


async def _hashed(payload: Payload) -> Payload:
    """Return the payload with its SHA-256, which reads the data once more."""
    running, data = StreamingChecksum((), hashed=True), payload.data
    if isinstance(data, StreamedBody):
        for start in range(0, payload.size, _READ_BYTES):
            piece = await data.slice(start, start + _READ_BYTES).data()
            await asyncio.to_thread(running.update, piece)
    else:
        await asyncio.to_thread(running.update, data)
    return payload._replace(sha256=running.sha256())


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
