"""Storage of the account: bodies in a spool directory, objects and unfinished uploads in memory."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from crosshaul.partner.checksums import Algorithm, Checksum

_CHUNK_BYTES = 256 * 1024
_PACK_BYTES = 32 * 1024 * 1024


class SpoolFile:
    """A file in the spool, removed when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = path.open("xb", buffering=0)
        finalizer = weakref.finalize(self, _remove, self._file, path)
        finalizer.atexit = False

    def seal(self) -> None:
        """Close the file for writing, to release its descriptor."""
        self._file.close()

    def append(self, data: bytes) -> int:
        """Append data (blocking) and return its offset."""
        start = self.size
        self.size += self._file.write(data)
        return start


def _remove(file: FileIO, path: Path) -> None:
    file.close()
    path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of body bytes in a spool file."""

    file: SpoolFile
    offset: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        """Read a part of the segment (blocking)."""
        with self.file.path.open("rb", buffering=0) as file:
            file.seek(self.offset + start)
            return file.read(length)


class Spool:
    """The directory of bodies: one file per large body, shared files for small ones."""

    def __init__(self, directory: Path | None) -> None:
        self._own = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="crosshaul-partner-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._prefix = f"body-{secrets.token_hex(4)}-"
        self._numbers = itertools.count()
        self._pack = self.create()

    def create(self) -> SpoolFile:
        """Create a file."""
        return SpoolFile(self._directory / f"{self._prefix}{next(self._numbers)}")

    def add_small(self, data: bytes) -> Segment:
        """Store a small body."""
        if self._pack.size > _PACK_BYTES:
            self._pack.seal()
            self._pack = self.create()
        return Segment(self._pack, self._pack.append(data), len(data))

    def close(self) -> None:
        """Remove the files, and a temporary directory."""
        self._pack.seal()
        if self._own:
            shutil.rmtree(self._directory, ignore_errors=True)
            return
        for path in self._directory.glob(f"{self._prefix}*"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Encryption:
    """The encryption of an object; ``mode`` is ``AES256``, ``aws:kms`` or ``aws:kms:dsse``."""

    mode: str
    key: str | None = None
    bucket_key: bool = False

    def headers(self) -> dict[str, str]:
        """Build the response headers."""
        headers = {"x-amz-server-side-encryption": self.mode}
        if self.key:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.key
        if self.bucket_key:
            headers["x-amz-server-side-encryption-bucket-key-enabled"] = "true"
        return headers


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of an object that a PutObject or CreateMultipartUpload sets."""

    content: dict[str, str]
    """Content-Type and the like, by header name in lower case."""
    metadata: dict[str, str]
    tags: dict[str, str]
    storage_class: str
    encryption: Encryption
    acl: str | None

    def headers(self) -> dict[str, str]:
        """Build the headers of GET and HEAD, without metadata."""
        headers = {**self.content, **self.encryption.headers()}
        if self.storage_class != "STANDARD":
            headers["x-amz-storage-class"] = self.storage_class
        return headers


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object. ``modified`` is in seconds since the epoch; ``writes`` counts the writes of its key."""

    key: str
    segments: tuple[Segment, ...]
    size: int
    etag: str
    """Without quotes."""
    modified: float
    attributes: Attributes
    checksum: Checksum | None
    writes: int

    @property
    def metadata(self) -> dict[str, str]:
        """User metadata, by name without ``x-amz-meta-``."""
        return self.attributes.metadata

    @property
    def tags(self) -> dict[str, str]:
        """Object tags."""
        return self.attributes.tags

    def chunks(self, start: int, length: int) -> Iterator[tuple[Segment, int, int]]:
        """Yield the pieces of a range: (segment, start within it, length in bytes)."""
        offset = 0
        end = start + length
        for segment in self.segments:
            low = max(start, offset)
            high = min(end, offset + segment.size)
            for piece in range(low, high, _CHUNK_BYTES):
                yield segment, piece - offset, min(_CHUNK_BYTES, high - piece)
            offset += segment.size

    def read(self) -> bytes:
        """Read the whole object (blocking)."""
        return b"".join(segment.read(start, length) for segment, start, length in self.chunks(0, self.size))

    def sha256(self) -> str:
        """Compute the SHA-256 of the object in hex (blocking)."""
        digest = hashlib.sha256()
        for segment, start, length in self.chunks(0, self.size):
            digest.update(segment.read(start, length))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of an unfinished upload; ``etag`` is its MD5 in hex."""

    number: int
    segment: Segment
    md5: bytes
    etag: str
    checksum: Checksum | None
    modified: float

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.segment.size


@dataclass(slots=True)
class Upload:
    """An unfinished multipart upload."""

    id: str
    key: str
    attributes: Attributes
    algorithm: Algorithm | None
    """The algorithm that CreateMultipartUpload requested; None when it requested none."""
    checksum_type: str
    initiated: float
    parts: dict[int, StoredPart] = field(default_factory=dict)


@dataclass(slots=True)
class Bucket:
    """A bucket: objects by key, uploads by id."""

    name: str
    region: str
    owner: str
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    finished: dict[str, StoredObject] = field(default_factory=dict)
    """Completed uploads by id: S3 repeats the response to a repeated CompleteMultipartUpload."""
    writes: dict[str, int] = field(default_factory=dict)

    def commit(self, stored: StoredObject) -> None:
        """Store the object under its key, replacing an earlier one."""
        self.objects[stored.key] = stored
        self.writes[stored.key] = stored.writes
