"""The two S3 calls with bodies, PutObject and UploadPart, on our own HTTP client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from crosshaul import __version__
from crosshaul.aws import error_map, http1, returned_ids
from crosshaul.aws.concurrent_bodies import BodyLimit
from crosshaul.aws.control_client import Location
from crosshaul.aws.error_body import unzipped
from crosshaul.aws.sigv4 import UNSIGNED_PAYLOAD, Credentials, Signer, encode_key, encode_query
from crosshaul.aws.timeouts import BodyTimeouts
from crosshaul.concurrency.clock import Clock
from crosshaul.integrity.checksum import Payload
from crosshaul.integrity.verify import UploadResult
from crosshaul.model import Checksum, ChecksumKind

_AGENT = ("user-agent", f"crosshaul/{__version__}")
_CHECKSUM_HEADERS = {
    ChecksumKind.CRC64NVME: "x-amz-checksum-crc64nvme",
    ChecksumKind.CRC32: "x-amz-checksum-crc32",
}
"""The header of each kind of checksum, the strongest first."""


class S3UploadClient:
    """Uploads the bodies of one destination. Raises Fault and nothing else."""

    def __init__(
        self,
        client: http1.Client,
        location: Location,
        region: str,
        clock: Clock,
        limit: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``limit`` returns the bandwidth limit in bytes per second, None without a limit."""
        self._client = client
        self._location = location
        self._region = region
        self._clock = clock
        self._body_limit = BodyLimit(limit)
        self._timeouts = BodyTimeouts(client.deadlines)
        self._signer: tuple[Credentials, Signer] | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def put_object(
        self, credentials: Credentials, key: str, headers: list[tuple[str, str]], payload: Payload
    ) -> Awaitable[UploadResult]:
        """PutObject: the whole object in one body."""
        return self._send("PutObject", credentials, key, "", headers, payload)

    def upload_part(
        self,
        credentials: Credentials,
        key: str,
        upload_id: str,
        number: int,
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> Awaitable[UploadResult]:
        """UploadPart: one part of a multipart upload."""
        query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
        return self._send("UploadPart", credentials, key, query, headers, payload)

    async def _send(
        self,
        operation: str,
        credentials: Credentials,
        key: str,
        query: str,
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> UploadResult:
        path = self._location.prefix + encode_key(key)
        target = f"{path}?{query}" if query else path
        size = payload.size
        queue = self._body_limit.queue_for(size)
        if not queue.take(size):
            await queue.acquire(size)
        try:
            # Signed after the wait: a signature expires after 15 minutes.
            signed = self._signed(credentials, path, query, headers, payload)
            start, concurrent = self._clock.monotonic(), queue.holders
            deadlines = self._timeouts.deadlines(target, start)
            response = await self._client.send("PUT", target, signed, payload.data, deadlines=deadlines)
            now = self._clock.monotonic()
            self._timeouts.responded(target, response.wait_seconds, now)
            queue.responded(size, start, now, concurrent)
        except http1.TransportError as error:
            self._timeouts.failed(target, error.code)
            queue.failed(error.code)
            raise error_map.from_transport(operation, error) from error
        finally:
            queue.release(size)
        # Only the store itself returns an ETag: a proxy's page, or an error in the body of a 200, has none.
        if response.status != 200 or not 0 < len(response.headers.get("etag", "")) <= returned_ids.MAX_CHARACTERS:  # noqa: PLR2004 - HTTP's own number
            raise error_map.from_response(operation, response._replace(body=unzipped(response.headers, response.body)))
        return _upload_result(response.headers)

    def _signed(
        self,
        credentials: Credentials,
        path: str,
        query: str,
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> list[tuple[str, str]]:
        authority = self._location.authority
        signed = [
            ("host", authority),
            ("content-length", str(payload.size)),
            *_checksum_headers(payload.checksums),
            *headers,
        ]
        digest = payload.sha256 or UNSIGNED_PAYLOAD
        signature = self._signer_for(credentials).sign("PUT", authority, path, query, signed, digest, self._clock.now())
        return [_AGENT, *signed, *signature]

    def _signer_for(self, credentials: Credentials) -> Signer:
        if self._signer is None or self._signer[0] is not credentials:
            self._signer = (credentials, Signer(credentials, self._region))
        return self._signer[1]


def _checksum_headers(checksums: tuple[Checksum, ...]) -> list[tuple[str, str]]:
    headers = []
    for checksum in checksums:
        if checksum.kind is ChecksumKind.MD5:
            headers.append(("content-md5", checksum.value))
        else:
            # Ceph's gateway checks only what this header announces; AWS ignores it where the checksum itself is given.
            headers.append(("x-amz-sdk-checksum-algorithm", str(checksum.kind)))
            headers.append((_CHECKSUM_HEADERS[checksum.kind], checksum.value))
    return headers


def _upload_result(headers: Mapping[str, str]) -> UploadResult:
    checksum = None
    for kind, name in _CHECKSUM_HEADERS.items():
        if name in headers:
            checksum = Checksum(kind, headers[name])
            break
    return UploadResult(
        etag=headers.get("etag", "").strip('"'),
        checksum=checksum,
        version_id=returned_ids.version_id(headers.get("x-amz-version-id")),
        request_id=returned_ids.request_id(headers.get("x-amz-request-id")),
        encrypted_by_kms=headers.get("x-amz-server-side-encryption", "").startswith("aws:kms"),
    )
