"""UploadContext: what all uploads to one destination share, such as the bucket, the journal and the limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from crosshaul.aws.conditional_writes import Condition, Conditions
from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.request_slots import HeldSlot, RequestSlots, SlotKind
from crosshaul.concurrency.semaphore import ByteSemaphore
from crosshaul.config import Destination, Route, TransferConfig
from crosshaul.files import reader
from crosshaul.files.buffer_pool import BufferPool
from crosshaul.files.growing_prefix import Rewritten
from crosshaul.integrity.checksum import Payload
from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.integrity.verify import HeadResult, UploadResult
from crosshaul.model import Checksum, ChecksumKind, Claim, Multipart, Part

_MAX_STALLED_FILES = 10_000


class ObjectStore(Protocol):
    """The part of a bucket that uploads use. Each method raises Fault and nothing else."""

    source: str
    """This sender's ``source_name``, which its objects carry in their metadata."""

    async def needs_hash(self) -> bool: ...  # noqa: D102 - described where it is implemented (aws/bucket.py)
    async def put_object(  # noqa: D102
        self, key: str, payload: Payload, mtime_ns: int, token: str, *, condition: Condition | None
    ) -> UploadResult: ...
    async def create_multipart_upload(  # noqa: D102
        self, key: str, mtime_ns: int, token: str, kind: ChecksumKind
    ) -> str: ...
    async def upload_part(self, key: str, upload_id: str, number: int, payload: Payload) -> UploadResult: ...  # noqa: D102
    async def complete_multipart_upload(  # noqa: D102
        self, multipart: Multipart, whole: Checksum | None, *, size: int, condition: Condition | None
    ) -> UploadResult: ...
    async def abort_multipart_upload(self, key: str, upload_id: str) -> None: ...  # noqa: D102
    async def head_object(self, key: str, *, expected: bool = False) -> HeadResult | None: ...  # noqa: D102


class UploadJournal(Protocol):
    """The part of the journal that uploads use, so that a restart resumes them."""

    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None: ...  # noqa: D102
    async def add_part(self, claim: Claim, part: Part) -> None: ...  # noqa: D102
    async def drop_multipart(self, claim: Claim) -> None: ...  # noqa: D102
    async def mark_aborted(self, upload: Multipart) -> None: ...  # noqa: D102
    async def drop_kept_receipt(self, claim: Claim) -> None: ...  # noqa: D102


class UploadObserver(Protocol):
    """Receives what uploads find out about their bucket and files. Its methods must not block."""

    def on_foreign_overwrite(self, claim: Claim, bucket: str, source: str) -> None:
        """Note that an object that ``source``, another sender, uploaded is about to be replaced."""

    def on_conditions_ignored(self, bucket: str) -> None:
        """Note that the store overwrites an object although If-None-Match forbids it."""

    def on_never_settled(self, claim: Claim, attempts: int) -> None:
        """Note that a file was rewritten while it was read, in ``attempts`` attempts: no state of it can be sent."""


class NullUploadObserver:
    """Ignores all events."""

    def on_foreign_overwrite(self, claim: Claim, bucket: str, source: str) -> None:
        """Ignore."""

    def on_conditions_ignored(self, bucket: str) -> None:
        """Ignore."""

    def on_never_settled(self, claim: Claim, attempts: int) -> None:
        """Ignore."""


@dataclass(frozen=True, slots=True)
class UploadContext:
    """The parts that all uploads to one destination share."""

    destination: Destination
    bucket: ObjectStore
    journal: UploadJournal
    routes: dict[str, Route]
    """All routes that may have uploads in progress, by name."""
    sizes: TransferConfig
    memory: ByteSemaphore
    """Memory for large files and their parts."""
    buffers: BufferPool
    """Buffers for parts; those in use are reserved in ``memory``."""
    memory_of_small: ByteSemaphore
    slots: RequestSlots
    """Limits the requests in flight."""
    negotiator: ChecksumNegotiator
    clock: Clock
    files: reader.FileReader
    """Readers of the routes' files."""
    plans: dict[str, int] = field(default_factory=dict)
    """The current plan of each route."""
    may_abort: bool = True
    """False if a check found that the role may not abort: abandoned uploads are left to the bucket's lifecycle rule."""
    conditions: Conditions = field(default_factory=Conditions)
    observer: UploadObserver = field(default_factory=NullUploadObserver)
    rewritten: Rewritten = field(default_factory=Rewritten)
    on_body_accepted: Callable[[Claim], None] = lambda _: None
    """Called for each body that S3 has accepted."""
    on_request_accepted: Callable[[Claim], None] = lambda _: None
    """Called when S3 has accepted another request for a file: CreateMultipartUpload."""
    stalled: dict[int, None] = field(default_factory=dict)
    """Record ids of files whose last attempt hung: they may hold only some of the slots."""

    def slot(self, claim: Claim) -> Awaitable[HeldSlot]:
        """Wait for a slot for a request for this file. Raises HeldBackError while the breaker is tripped."""
        if claim.id in self.stalled:
            return self.slots.hold(SlotKind.STALLED, claim.id)
        return self.slots.hold(SlotKind.LARGE if claim.large else SlotKind.SMALL, claim.id)

    def note_stalled(self, claim: Claim) -> None:
        """Remember that the file's attempt hung; the oldest file is forgotten if there are too many."""
        if len(self.stalled) >= _MAX_STALLED_FILES:
            del self.stalled[next(iter(self.stalled))]
        self.stalled[claim.id] = None

    def is_current_plan(self, claim: Claim) -> bool:
        """Return whether the claim's key comes from the route's current plan: the configuration may have changed."""
        return claim.plan == self.plans.get(claim.route, 0)

    def memory_for(self, claim: Claim) -> ByteSemaphore:
        """Return the memory budget of a file that is sent in one request."""
        return self.memory if claim.large else self.memory_of_small

    def in_parts(self, claim: Claim) -> bool:
        """Return whether the file is sent in parts: it is large, or larger than the memory budget."""
        size = claim.fingerprint.size
        return size >= self.sizes.multipart_threshold or (claim.large and size > self.memory.capacity)
