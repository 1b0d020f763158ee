"""A large file's way into the bucket: a multipart upload, whose parts the journal keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from crosshaul.aws.conditional_writes import Condition
from crosshaul.concurrency.semaphore import Reservation
from crosshaul.delivery.part_body import PIECE_BYTES, PartReader
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Fault, FaultKind, FileChangedError, HeldBackError, SourceError
from crosshaul.files.claimed_file import open_claimed, open_growing
from crosshaul.files.growing import GrowingFile
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import Payload, combine, compute
from crosshaul.integrity.verify import UploadResult, receipt_for, token_of
from crosshaul.model import Checksum, ChecksumKind, Claim, Multipart, Part, Receipt

_MAX_PARTS = 10_000
LARGEST_OBJECT = _MAX_PARTS * (5 << 30)
"""Bytes: 48.8 TiB (S3 User Guide, "Amazon S3 multipart upload limits")."""
_MIB = 1 << 20


def part_size(size: int, wanted: int) -> int:
    """``wanted`` bytes, or as much more as keeps the parts of a file of ``size`` bytes within 10,000 (whole MiB)."""
    least = -(-size // _MAX_PARTS)
    return wanted if least <= wanted else -(-least // _MIB) * _MIB


class MultipartUpload:
    """One file's multipart upload. Once all parts are sent it may be completed on another condition."""

    def __init__(self, claim: Claim, context: UploadContext) -> None:
        self._claim = claim
        self._context = context
        self._upload = claim.multipart
        self._sent = False

    @property
    def whole(self) -> Checksum | None:
        """The checksum of the whole file, where all of it was sent and the store knows one that combines."""
        return combine(self._upload.parts) if self._upload is not None and self._sent else None

    async def send(self, condition: Condition | None) -> Receipt:
        """Send what is missing and complete. Raises Fault or SourceError."""
        await self.prepare()
        return await self._complete(condition)

    async def prepare(self) -> None:
        """Send what is missing, so that the rest is one small request. Raises Fault or SourceError."""
        if not self._sent:
            await self._send()

    async def abandon(self) -> None:
        """Forget the upload, and have the store forget it where the role may."""
        upload, self._upload = self._upload, None
        if upload is None:
            return
        await self._context.journal.drop_multipart(self._claim)
        if not self._context.may_abort:
            return
        try:
            await self._context.bucket.abort_multipart_upload(upload.key, upload.upload_id)
        except Fault:
            return  # the journal remembers it (aborting.py)
        await self._context.journal.mark_aborted(upload)

    async def _send(self) -> None:
        claim, context = self._claim, self._context
        reader = context.files.for_route(claim.route)
        source = await reader.threads.run(claim, self._open)
        try:
            if isinstance(source, GrowingFile):
                await self._survey(source)
            upload = self._upload = self._upload or await self._begin()
            try:
                parts = await _Sender(claim, context, source, upload).send()
                await reader.threads.run(claim, source.unchanged)
            except FileChangedError:
                await self.abandon()
                raise
        finally:
            context.buffers.clear()  # nothing is spare when nothing is sent in parts; who still does takes new memory
            reader.close_later(source)
        self._upload = replace(upload, parts=parts)
        self._sent = True

    def _open(self) -> SourceFile:
        """Open the file. Blocks."""
        claim = self._claim
        route = self._context.routes[claim.route]
        if not claim.never_settled:
            return open_claimed(claim, route)
        block = self._upload.part_size if self._upload is not None else self._part_size
        return open_growing(claim, route, block)

    async def _survey(self, source: GrowingFile) -> None:
        """Read a file that goes on changing for the first time; parts that were sent of other bytes go again."""
        run = partial(self._context.files.for_route(self._claim.route).threads.run, self._claim)
        while await run(source.survey):
            pass
        if self._upload is not None:
            upload = self._upload
            parts = [part for part in upload.parts if await run(partial(_still_there, upload, part, source))]
            self._upload = replace(upload, parts=tuple(parts))

    @property
    def _part_size(self) -> int:
        return part_size(self._claim.fingerprint.size, self._context.sizes.part_size)

    async def _begin(self) -> Multipart:
        claim, context = self._claim, self._context
        size = self._part_size
        while True:
            kind = context.negotiator.preferred
            try:
                with await context.slot(claim):
                    upload_id = await context.bucket.create_multipart_upload(
                        claim.key, claim.fingerprint.mtime_ns, token_of(claim), kind
                    )
            except Fault as fault:
                if fault.kind is not FaultKind.UNSUPPORTED or not context.negotiator.record_refusal(kind):
                    raise
            else:
                context.taken(claim)
                multipart = Multipart(upload_id, claim.key, size, kind)
                await context.journal.begin_multipart(claim, multipart)
                return multipart

    async def _complete(self, condition: Condition | None) -> Receipt:
        upload, context, size = self._upload, self._context, self._claim.fingerprint.size
        assert upload is not None  # noqa: S101 - all parts were sent
        honoured = context.negotiator.confirmed is upload.checksum_kind
        whole = combine(upload.parts) if honoured else None
        if not honoured:
            plain = Checksum(ChecksumKind.MD5, "")
            upload = replace(upload, parts=tuple(replace(part, checksum=plain) for part in upload.parts))
        with await context.slot(self._claim):
            answer = await context.bucket.complete_multipart_upload(upload, whole, size=size, condition=condition)
        return receipt_for(size, answer if whole is None else answer._replace(checksum=whole), context.clock.now())


def _still_there(upload: Multipart, part: Part, source: SourceFile) -> bool:
    """Whether a part's bytes are in the file as they were when they were sent. Blocks."""
    data = source.read((part.number - 1) * upload.part_size, part.size)
    return compute(part.checksum.kind, data) == part.checksum


class _Sender:
    """Sends the missing parts in parallel. A part that fails stops new ones; those under way end and are kept."""

    def __init__(self, claim: Claim, context: UploadContext, source: SourceFile, multipart: Multipart) -> None:
        self._claim = claim
        self._context = context
        self._reader = PartReader(claim, source, context.files.for_route(claim.route), multipart.part_size)
        self._multipart = multipart
        self._done = {part.number: part for part in multipart.parts}
        self._failure: Fault | SourceError | HeldBackError | None = None

    async def send(self) -> tuple[Part, ...]:
        """All parts in order; raises the first failure."""
        hashed = await self._context.bucket.needs_hash()
        total = -(-self._claim.fingerprint.size // self._multipart.part_size)
        try:
            await self._send_missing(total, hashed=hashed)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group  # the journal's trouble, or a bug: one is as good as all
        if self._failure is not None:
            raise self._failure
        return tuple(self._done[number] for number in range(1, total + 1))

    async def _send_missing(self, total: int, *, hashed: bool) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1, total + 1):
                if number in self._done:
                    continue
                size = self._size_of(number)
                held = PIECE_BYTES if self._streams(size) else size
                await self._context.memory.acquire(held)
                memory = Reservation(self._context.memory, held)
                if self._failure is not None:
                    memory.end()
                    break
                task = group.create_task(self._part(number, size, memory, hashed=hashed))
                # A task that is cancelled before its first step would never give it back itself.
                task.add_done_callback(memory.end)

    def _size_of(self, number: int) -> int:
        offset = (number - 1) * self._multipart.part_size
        return min(self._multipart.part_size, self._claim.fingerprint.size - offset)

    def _streams(self, size: int) -> bool:
        """Whether a part is more than may be held in memory."""
        return size > max(PIECE_BYTES, self._context.memory.capacity)

    async def _part(self, number: int, size: int, memory: Reservation, *, hashed: bool) -> None:
        try:
            part = await self._send_part(number, size, memory, hashed=hashed)
            memory.end()  # the next part need not wait for the journal
            await self._context.journal.add_part(self._claim, part)
            self._done[number] = part
        except (Fault, SourceError, HeldBackError) as failure:
            self._failure = self._failure or failure

    async def _send_part(self, number: int, size: int, memory: Reservation, *, hashed: bool) -> Part:
        kind, negotiator = self._multipart.checksum_kind, self._context.negotiator
        kinds = (kind,) if negotiator.confirmed is kind or kind is ChecksumKind.MD5 else (kind, ChecksumKind.MD5)
        if memory.amount < size:
            payload = await self._reader.streamed(number, size, kinds, hashed=hashed)
            answer = await self._put(number, payload)
        else:
            buffer = self._context.buffers.take(size)
            # If this is cancelled, or fails, a thread may still be reading into it.
            # Before the slot: a file system that hangs must not hold what others could be sent in.
            payload = await self._reader.held(number, buffer, kinds, hashed=hashed, on_stuck=memory.end)
            try:
                answer = await self._put(number, payload)
            finally:
                self._context.buffers.give(buffer)
        self._context.body_taken(self._claim)
        negotiator.record_echo(kind, answer.checksum.kind if answer.checksum else None)
        return Part(number, size, answer.etag, payload.checksums[0])

    async def _put(self, number: int, payload: Payload) -> UploadResult:
        kind, negotiator = self._multipart.checksum_kind, self._context.negotiator
        try:
            with await self._context.slot(self._claim):
                return await self._context.bucket.upload_part(
                    self._claim.key, self._multipart.upload_id, number, payload
                )
        except Fault as fault:
            if fault.diagnosis.code == "UnexpectedResponse":
                negotiator.record_echo(kind, None)
            if fault.kind is FaultKind.UNSUPPORTED:
                negotiator.record_refusal(kind)  # the next try begins a new upload, with the next checksum
            raise
