"""What an upload needs of its destination: the bucket's calls, where its state is kept, and the shared limits."""

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
from crosshaul.files.growing import Rewritten
from crosshaul.integrity.checksum import Payload
from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.integrity.verify import HeadResult, UploadResult
from crosshaul.model import Checksum, ChecksumKind, Claim, Multipart, Part

_STALLED_REMEMBERED = 10_000


class ObjectStore(Protocol):
    """What an upload needs of a bucket; each method raises Fault and nothing else."""

    source: str
    """Who we are, as our objects' metadata say."""

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


class Progress(Protocol):
    """Where it is kept how far an upload is, so that a restart goes on where it was."""

    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None: ...  # noqa: D102
    async def add_part(self, claim: Claim, part: Part) -> None: ...  # noqa: D102
    async def drop_multipart(self, claim: Claim) -> None: ...  # noqa: D102
    async def mark_aborted(self, upload: Multipart) -> None: ...  # noqa: D102
    async def drop_kept_receipt(self, claim: Claim) -> None: ...  # noqa: D102


class UploadObserver(Protocol):
    """Who is told what an upload found out about its bucket; must not block."""

    def overwrites_another(self, claim: Claim, bucket: str, source: str) -> None:
        """An object that another source's daemon put is about to be replaced."""

    def conditions_ignored(self, bucket: str) -> None:
        """The store writes over an object although If-None-Match forbids it."""

    def never_at_rest(self, claim: Claim, tries: int) -> None:
        """A file that never rests was rewritten while it was read, for the n-th time: no state of it can be sent."""


class NullUploadObserver:
    """Nobody is told."""

    def overwrites_another(self, claim: Claim, bucket: str, source: str) -> None:
        """Passed over."""

    def conditions_ignored(self, bucket: str) -> None:
        """Passed over."""

    def never_at_rest(self, claim: Claim, tries: int) -> None:
        """Passed over."""


@dataclass(frozen=True, slots=True)
class UploadContext:
    """What all uploads to one destination share."""

    destination: Destination
    bucket: ObjectStore
    journal: Progress
    routes: dict[str, Route]
    """Those of which something may be under way, and how they are to be treated."""
    sizes: TransferConfig
    memory: ByteSemaphore
    """For large files and their parts."""
    buffers: BufferPool
    """For the parts; what is in use is within ``memory``."""
    memory_of_small: ByteSemaphore
    slots: RequestSlots
    """Requests in flight."""
    negotiator: ChecksumNegotiator
    clock: Clock
    files: reader.FileReader
    """For reading, route by route."""
    plans: dict[str, int] = field(default_factory=dict)
    """The plans in force, by route."""
    may_abort: bool = True
    """False where a check found that the role may not: an abandoned upload is left to the bucket's lifecycle rule."""
    conditions: Conditions = field(default_factory=Conditions)
    observer: UploadObserver = field(default_factory=NullUploadObserver)
    rewritten: Rewritten = field(default_factory=Rewritten)
    body_taken: Callable[[Claim], None] = lambda _: None
    """Called for each body that S3 took: there is room for more."""
    taken: Callable[[Claim], None] = lambda _: None
    """Called when S3 took something else of a file: the beginning of an upload in parts."""
    stalled: dict[int, None] = field(default_factory=dict)
    """Files whose last try hung, by the numbers of their records: they may hold a part of the slots only."""

    def slot(self, claim: Claim) -> Awaitable[HeldSlot]:
        """Wait for a slot for this file's request. Raises HeldBackError while the destination takes nothing."""
        if claim.id in self.stalled:
            return self.slots.hold(SlotKind.STALLED, claim.id)
        return self.slots.hold(SlotKind.LARGE if claim.large else SlotKind.SMALL, claim.id)

    def note_stalled(self, claim: Claim) -> None:
        """Keep in mind that the file's try hung; the newest are kept."""
        if len(self.stalled) >= _STALLED_REMEMBERED:
            del self.stalled[next(iter(self.stalled))]
        self.stalled[claim.id] = None

    def takes(self, claim: Claim) -> bool:
        """Whether the plan that gave the claim its key is in force still: the configuration may have changed since."""
        return claim.plan == self.plans.get(claim.route, 0)

    def memory_for(self, claim: Claim) -> ByteSemaphore:
        """What a file that is sent in one request takes its memory from."""
        return self.memory if claim.large else self.memory_of_small

    def in_parts(self, claim: Claim) -> bool:
        """Whether the file goes in parts: it is large, or larger than what may be held in memory."""
        size = claim.fingerprint.size
        return size >= self.sizes.multipart_threshold or (claim.large and size > self.memory.capacity)
