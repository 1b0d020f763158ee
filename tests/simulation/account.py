"""The partner's account in the simulation: STS and one bucket, which at random are slow, throttle, forget and lie."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from crosshaul.aws.control_client import Location
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import compute
from crosshaul.integrity.verify import UploadResult
from crosshaul.model import ChecksumKind

_CRC = ChecksumKind.CRC64NVME
SESSION_SECONDS = 60.0
_SKEW_ALLOWED = 900.0


def fault(kind: FaultKind, code: str, operation: str, *, status: int | None = None, ambiguous: bool = False) -> Fault:
    """Return a fault as aws/error_map.py would make it."""
    return Fault(Diagnosis(kind, code, "by chance", operation, status=status, ambiguous=ambiguous))


_BEFORE = (
    (FaultKind.THROTTLED, "SlowDown", 503),
    (FaultKind.NETWORK, "ConnectError", None),
    (FaultKind.CORRUPT, "BadDigest", 400),
    (FaultKind.EXPIRED, "ExpiredToken", 400),
)
_AFTER = ((FaultKind.THROTTLED, "InternalError", 500), (FaultKind.NETWORK, "ConnectionReset", None))
"""The call was done, and its answer is lost: ambiguous."""


Place = tuple[str, str]
"""Bucket and key."""


def _within(span: tuple[float, float], moment: float) -> bool:
    return span[0] <= moment < span[1]


@dataclass
class Object:
    """The object under a key."""

    data: bytes
    token: str
    writes: int = 1
    parts: int = 0

    @property
    def etag(self) -> str:
        """Return the MD5 of one body, or S3's ETag of parts."""
        digest = hashlib.md5(self.data, usedforsecurity=False).hexdigest()
        return f"{digest}-{self.parts}" if self.parts else digest


@dataclass
class Account:
    """The account. ``written`` is called with each object, ``broken`` with each violation."""

    chance: random.Random
    now: Callable[[], float]
    written: Callable[[str, str, bytes], None]
    broken: Callable[[str], None]
    calm_at: float
    objects: dict[Place, Object] = field(default_factory=dict)
    uploads: dict[str, tuple[Place, str, dict[int, bytes]]] = field(default_factory=dict)
    sessions: dict[str, float] = field(default_factory=dict)
    refusing: tuple[float, float] = (0.0, 0.0)
    """While the role may do nothing."""
    sts_away: tuple[float, float] = (0.0, 0.0)
    s3_away: tuple[float, float] = (0.0, 0.0)
    """While nothing answers."""
    forbidden: str = ""
    """Keys that end so may not be put: the bucket's policy denies them."""
    late_commits: bool = False
    """True if some requests that were given up are executed much later."""
    late: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    """When each call began."""
    skew: Callable[[], float] = lambda: 0.0
    """By how much the caller's clock is wrong, in seconds."""
    begun: int = 0
    faulted: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    def _troubled(self) -> bool:
        return self.now() < self.calm_at

    async def call(self, operation: str, place: Place, token: str | None, act: Callable[[], Any]) -> Any:
        """Make one call: a delay, perhaps a fault, the effect, perhaps a lost response."""
        self.calls.append(self.now())
        await asyncio.sleep(self.chance.random() * 0.08)
        self.catch_up()
        self._admit(operation, place, token)
        roll = self.chance.random() if self._troubled() else 1.0
        self.faulted += roll < 0.18
        if roll < 0.02:
            if self.late_commits and operation in {"PutObject", "complete_multipart_upload"}:
                self.late.append((self.now() + self.chance.random() * 60.0, act))
            await asyncio.sleep(20.0)
            raise fault(FaultKind.NETWORK, "ProgressTimeout", operation, ambiguous=True)
        if roll < 0.12:
            kind, code, status = self.chance.choice(_BEFORE)
            raise fault(kind, code, operation, status=status)
        done = act()
        await asyncio.sleep(self.chance.random() * 0.08)
        if roll < 0.18:
            kind, code, status = self.chance.choice(_AFTER)
            raise fault(kind, code, operation, status=status, ambiguous=True)
        return done

    def catch_up(self) -> None:
        """Execute the delayed calls; their responses are lost."""
        due = [act for at, act in self.late if at <= self.now()]
        self.late = [(at, act) for at, act in self.late if at > self.now()]
        for act in due:
            with suppress(Fault):
                act()

    def _admit(self, operation: str, place: Place, token: str | None) -> None:
        if _within(self.s3_away, self.now()):
            raise fault(FaultKind.NETWORK, "ConnectError", operation)
        if token is None or token not in self.sessions:
            self.broken(f"{operation} without a session")
        elif self.now() >= self.sessions[token]:
            self.broken(f"{operation} with credentials that ended {self.now() - self.sessions[token]:.1f} s ago")
        self._check_time(operation)
        denied = self.forbidden and place[1].endswith(self.forbidden) and operation != "head_object"
        if denied or _within(self.refusing, self.now()):
            raise fault(FaultKind.DESTINATION, "AccessDenied", operation, status=403)

    def _check_time(self, operation: str) -> None:
        if abs(self.skew()) > _SKEW_ALLOWED:
            raise fault(FaultKind.DESTINATION, "RequestTimeTooSkewed", operation, status=403)

    # STS

    async def assume_role(self) -> dict[str, Any]:
        """Return a session of a minute."""
        await asyncio.sleep(self.chance.random() * 0.2)
        if _within(self.sts_away, self.now()):
            raise fault(FaultKind.NETWORK, "ConnectError", "AssumeRole")
        self._check_time("AssumeRole")
        token = f"session-{len(self.sessions)}"
        self.sessions[token] = ends = self.now() + SESSION_SECONDS
        expiration = datetime.fromtimestamp(ends, UTC)
        given = {"AccessKeyId": token, "SecretAccessKey": token, "SessionToken": token, "Expiration": expiration}
        headers = {"date": format_datetime(datetime.fromtimestamp(self.now(), UTC), usegmt=True)}
        return {"Credentials": given, "ResponseMetadata": {"HTTPHeaders": headers}}

    # S3

    def _hold_off(self, operation: str, place: Place, none_match: str | None, match: str | None) -> None:
        """Check If-None-Match: * and If-Match."""
        there = self.objects.get(place)
        if match is not None and there is None:
            raise fault(FaultKind.DESTINATION, "AccessDenied", operation, status=403)
        if (none_match and there) or (match is not None and there and match.strip('"') != there.etag):
            raise fault(FaultKind.EXISTS, "PreconditionFailed", operation, status=412)

    def put(self, place: Place, data: bytes, given: Mapping[str, str]) -> UploadResult:
        """PutObject; at random the store corrupts the stored bytes, as its checksum shows."""
        token = given["x-amz-meta-crosshaul-token"]
        self._hold_off("PutObject", place, given.get("if-none-match"), given.get("if-match"))
        if self._troubled() and data and self.chance.random() < 0.01:
            garbled = bytes([data[0] ^ 1]) + data[1:]
            return UploadResult(self._keep(place, garbled, "garbled"), compute(_CRC, garbled))
        self.written(*place, data)
        return UploadResult(self._keep(place, data, token), compute(_CRC, data))

    def _keep(self, place: Place, data: bytes, token: str, parts: int = 0) -> str:
        """Store an object; return its ETag."""
        writes = self.objects[place].writes + 1 if place in self.objects else 1
        self.objects[place] = Object(data, token, writes, parts)
        return self.objects[place].etag

    def create(self, place: Place, token: str) -> dict[str, Any]:
        self.begun += 1
        upload = f"upload-{self.begun}"
        self.uploads[upload] = (place, token, {})
        return {"UploadId": upload}

    def part(self, upload: str, number: int, data: bytes) -> UploadResult:
        self._upload(upload, "UploadPart")[2][number] = data
        return UploadResult(f"etag-{number}", compute(_CRC, data))

    def complete(self, upload: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Join the parts; refuse a wrong list, size or checksum."""
        place, token, parts = self._upload(upload, "CompleteMultipartUpload")
        numbers = [part["PartNumber"] for part in parameters["MultipartUpload"]["Parts"]]
        if numbers != sorted(parts):
            self.broken(f"{place}: completed with the parts {numbers}, and {sorted(parts)} are there")
        none_match, match = parameters.get("IfNoneMatch"), parameters.get("IfMatch")
        self._hold_off("CompleteMultipartUpload", place, none_match, match)
        data = b"".join(parts[number] for number in numbers)
        whole = compute(_CRC, data).value
        if parameters.get("ChecksumCRC64NVME", whole) != whole:
            raise fault(FaultKind.CORRUPT, "BadDigest", "CompleteMultipartUpload", status=400)
        self.written(*place, data)
        etag = self._keep(place, data, token, len(numbers))
        del self.uploads[upload]
        return {"ETag": f'"{etag}"', "ChecksumCRC64NVME": whole, "ChecksumType": "FULL_OBJECT"}

    def _upload(self, upload: str, operation: str) -> tuple[Place, str, dict[int, bytes]]:
        if self._troubled() and self.chance.random() < 0.01:
            self.uploads.pop(upload, None)
        if upload not in self.uploads:
            raise fault(FaultKind.RESTART_UPLOAD, "NoSuchUpload", operation, status=404)
        return self.uploads[upload]

    def head(self, place: Place) -> dict[str, Any]:
        found = self.objects.get(place)
        if found is None:
            raise fault(FaultKind.DESTINATION, "AccessDenied", "HeadObject", status=403)
        metadata = {"crosshaul-token": found.token}
        return {"ContentLength": len(found.data), "ETag": f'"{found.etag}"', "Metadata": metadata}


class Chain:
    """Account A's own credentials."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def assume_role(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return await self._account.assume_role()

    def trusting(self, _ca_bundle: object) -> Chain:
        return self

    def forget(self) -> None:
        """Do nothing: there is nothing to load again."""


class Control:
    """Calls without a body, signed with whatever the refresher has at that moment."""

    def __init__(self, account: Account, bucket: str, refresher: Any) -> None:
        self._account = account
        self._bucket = bucket
        self._refresher = refresher

    async def close(self) -> None: ...

    async def location(self) -> Location:
        return Location("https", "bucket.example", 443, "bucket.example", "/")

    async def call(self, operation: str, key: str, parameters: dict[str, Any], deadline: float = 0.0) -> dict[str, Any]:
        credentials = await self._refresher.credentials()
        account, place = self._account, (self._bucket, key)
        acts: dict[str, Callable[[], Any]] = {
            "head_object": lambda: account.head(place),
            "create_multipart_upload": lambda: account.create(place, parameters["Metadata"]["crosshaul-token"]),
            "complete_multipart_upload": lambda: account.complete(parameters["UploadId"], parameters),
            "abort_multipart_upload": lambda: account.uploads.pop(parameters["UploadId"], None),
        }
        answer = await account.call(operation, place, credentials.session_token, acts[operation])
        return dict(answer) if isinstance(answer, dict) else {}

    async def complete(self, key: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return await self.call("complete_multipart_upload", key, parameters)


class Wire:
    """The two calls with bodies."""

    def __init__(self, account: Account, bucket: str) -> None:
        self._account = account
        self._bucket = bucket

    async def close(self) -> None: ...

    async def put_object(
        self, credentials: Any, key: str, headers: list[tuple[str, str]], payload: Any
    ) -> UploadResult:
        given = dict(headers)
        data, place = self._checked(payload), (self._bucket, key)
        return await self._carry(credentials, "PutObject", place, data, lambda: self._account.put(place, data, given))

    async def upload_part(
        self, credentials: Any, key: str, upload: str, number: int, headers: list[tuple[str, str]], payload: Any
    ) -> UploadResult:
        data, place = self._checked(payload), (self._bucket, key)
        return await self._carry(
            credentials, "UploadPart", place, data, lambda: self._account.part(upload, number, data)
        )

    async def _carry(
        self, credentials: Any, operation: str, place: Place, data: bytes, act: Callable[[], Any]
    ) -> UploadResult:
        account = self._account
        account.in_flight += len(data)
        account.most_in_flight = max(account.most_in_flight, account.in_flight)
        try:
            answer: UploadResult = await account.call(operation, place, credentials.session_token, act)
        finally:
            account.in_flight -= len(data)
        return answer

    def _checked(self, payload: Any) -> bytes:
        data = bytes(payload.data)
        for checksum in payload.checksums:
            if compute(checksum.kind, data) != checksum:
                self._account.broken("a body that is not what its checksum says")
        return data
