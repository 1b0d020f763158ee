"""What the account keeps: bodies in a spool directory on disk, objects and unfinished uploads in memory."""

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

_CHUNK = 256 * 1024
_PACK = 32 * 1024 * 1024


class SpoolFile:
    """A file in the spool; it goes when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = path.open("xb", buffering=0)
        finalizer = weakref.finalize(self, _remove, self._file, path)
        finalizer.atexit = False

    def seal(self) -> None:
        """Nothing more will be written: give the descriptor back."""
        self._file.close()

    def append(self, data: bytes) -> int:
        """Write at the end, and say where; blocks."""
        start = self.size
        self.size += self._file.write(data)
        return start


def _remove(file: FileIO, path: Path) -> None:
    file.close()
    path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of body bytes in a file of the spool."""

    file: SpoolFile
    offset: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        """Bytes of it; blocks."""
        with self.file.path.open("rb", buffering=0) as file:
            file.seek(self.offset + start)
            return file.read(length)


class Spool:
    """The directory of bodies: big ones in files of their own, small ones many to a file."""

    def __init__(self, directory: Path | None) -> None:
        self._own = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="crosshaul-partner-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._prefix = f"body-{secrets.token_hex(4)}-"
        self._numbers = itertools.count()
        self._pack = self.create()

    def create(self) -> SpoolFile:
        """A new file."""
        return SpoolFile(self._directory / f"{self._prefix}{next(self._numbers)}")

    def add_small(self, data: bytes) -> Segment:
        """Keep a small body."""
        if self._pack.size > _PACK:
            self._pack.seal()
            self._pack = self.create()
        return Segment(self._pack, self._pack.append(data), len(data))

    def close(self) -> None:
        """Remove the files, and the directory if it is the spool's own."""
        self._pack.seal()
        if self._own:
            shutil.rmtree(self._directory, ignore_errors=True)
            return
        for path in self._directory.glob(f"{self._prefix}*"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Encryption:
    """How an object is encrypted: ``AES256``, ``aws:kms`` or ``aws:kms:dsse``."""

    mode: str
    key: str | None = None
    bucket_key: bool = False

    def headers(self) -> dict[str, str]:
        """As answers carry it."""
        headers = {"x-amz-server-side-encryption": self.mode}
        if self.key:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.key
        if self.bucket_key:
            headers["x-amz-server-side-encryption-bucket-key-enabled"] = "true"
        return headers


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a PutObject or CreateMultipartUpload says about an object besides its bytes."""

    content: dict[str, str]
    """Content-Type and the like, by header name in lower case."""
    metadata: dict[str, str]
    tags: dict[str, str]
    storage_class: str
    encryption: Encryption
    acl: str | None

    def headers(self) -> dict[str, str]:
        """As GET and HEAD carry it, metadata aside."""
        headers = {**self.content, **self.encryption.headers()}
        if self.storage_class != "STANDARD":
            headers["x-amz-storage-class"] = self.storage_class
        return headers


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object. ``modified`` is in seconds since the epoch; ``writes`` counts how often the key was written."""

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
        """Where the bytes of a range lie: (segment, start in it, length), in pieces to read at once."""
        offset = 0
        end = start + length
        for segment in self.segments:
            low = max(start, offset)
            high = min(end, offset + segment.size)
            for piece in range(low, high, _CHUNK):
                yield segment, piece - offset, min(_CHUNK, high - piece)
            offset += segment.size

    def read(self) -> bytes:
        """All bytes; blocks."""
        return b"".join(segment.read(start, length) for segment, start, length in self.chunks(0, self.size))

    def sha256(self) -> str:
        """Of the bytes, in hex; reads them all and blocks."""
        digest = hashlib.sha256()
        for segment, start, length in self.chunks(0, self.size):
            digest.update(segment.read(start, length))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of an unfinished upload; ``etag`` is its MD5 in hex unless a fault says otherwise."""

    number: int
    segment: Segment
    md5: bytes
    etag: str
    checksum: Checksum | None
    modified: float

    @property
    def size(self) -> int:
        """Bytes."""
        return self.segment.size


@dataclass(slots=True)
class Upload:
    """A multipart upload that is not finished."""

    id: str
    key: str
    attributes: Attributes
    algorithm: Algorithm | None
    """As CreateMultipartUpload asked; None when it asked for none."""
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
    """Uploads that were completed: S3 answers a repeated Complete as it did the first one."""
    writes: dict[str, int] = field(default_factory=dict)

    def commit(self, stored: StoredObject) -> None:
        """Put the object under its key, instead of what was there."""
        self.objects[stored.key] = stored
        self.writes[stored.key] = stored.writes
