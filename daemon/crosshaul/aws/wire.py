"""The two S3 calls with bodies, PutObject and UploadPart, as requests on our own HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from crosshaul import __version__
from crosshaul.aws import faults, http1, identifiers
from crosshaul.aws.control import Location
from crosshaul.aws.error_body import unzipped
from crosshaul.aws.patience import Patience
from crosshaul.aws.sigv4 import UNSIGNED_PAYLOAD, Credentials, Signer, encode_key
from crosshaul.checksum import Payload
from crosshaul.clock import Clock
from crosshaul.model import Checksum, ChecksumKind
from crosshaul.verify import Answer

_AGENT = ("user-agent", f"crosshaul/{__version__}")
_HEADERS = {
    ChecksumKind.CRC64NVME: "x-amz-checksum-crc64nvme",
    ChecksumKind.CRC32: "x-amz-checksum-crc32",
}
"""The header of each checksum, the best first."""


class Wire:
    """Sends one destination's bodies. Raises Fault and nothing else."""

    def __init__(
        self,
        client: http1.Client,
        location: Location,
        region: str,
        clock: Clock,
    ) -> None:
        self._client = client
        self._location = location
        self._region = region
        self._clock = clock
        self._patience = Patience(client.deadlines)
        self._signer: tuple[Credentials, Signer] | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def put_object(
        self, credentials: Credentials, key: str, headers: list[tuple[str, str]], payload: Payload
    ) -> Answer:
        """PutObject: the whole object in one body."""
        return await self._send("PutObject", credentials, key, [], headers, payload)

    async def upload_part(
        self,
        credentials: Credentials,
        key: str,
        upload_id: str,
        number: int,
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> Answer:
        """UploadPart: one part of a multipart upload."""
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        return await self._send("UploadPart", credentials, key, query, headers, payload)

    async def _send(
        self,
        operation: str,
        credentials: Credentials,
        key: str,
        query: list[tuple[str, str]],
        headers: list[tuple[str, str]],
        payload: Payload,
    ) -> Answer:
        path = self._location.prefix + encode_key(key)
        signed = [
            ("host", self._location.authority),
            ("content-length", str(payload.size)),
            *_checksum_headers(payload.checksums),
            *headers,
        ]
        signed += self._signer_for(credentials).sign(
            "PUT", self._location.authority, path, query, signed, payload.sha256 or UNSIGNED_PAYLOAD, self._clock.now()
        )
        target = path + (
            "?" + "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in query) if query else ""
        )
        answer = await self._exchanged(operation, target, signed, payload)
        # Whatever else says 200 (a proxy's page, an error in the body) lacks what only a store that took it can give.
        if answer.status != 200 or not 0 < len(answer.headers.get("etag", "")) <= identifiers.LONGEST:  # noqa: PLR2004 - HTTP's own number
            raise faults.from_answer(operation, answer._replace(body=unzipped(answer.headers, answer.body)))
        return _answer(answer.headers)

    async def _exchanged(
        self, operation: str, target: str, headers: list[tuple[str, str]], payload: Payload
    ) -> http1.Answer:
        deadlines = self._patience.deadlines(target, self._clock.monotonic())
        try:
            answer = await self._client.send("PUT", target, [_AGENT, *headers], payload.data, deadlines=deadlines)
        except http1.WireError as error:
            self._patience.failed(target, error.code)
            raise faults.from_wire(operation, error) from error
        self._patience.answered(target, answer.waited, self._clock.monotonic())
        return answer

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
            headers.append((_HEADERS[checksum.kind], checksum.value))
    return headers


def _answer(headers: Mapping[str, str]) -> Answer:
    checksum = None
    for kind, name in _HEADERS.items():
        if name in headers:
            checksum = Checksum(kind, headers[name])
            break
    return Answer(
        etag=headers.get("etag", "").strip('"'),
        checksum=checksum,
        version_id=identifiers.version_id(headers.get("x-amz-version-id")),
        request_id=identifiers.request_id(headers.get("x-amz-request-id")),
        encrypted_by_kms=headers.get("x-amz-server-side-encryption", "").startswith("aws:kms"),
    )
