"""Upload a large file in parts. The journal keeps the parts, so that a restart resumes the upload."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from crosshaul.aws.conditional_writes import Condition
from crosshaul.concurrency.semaphore import Reservation
from crosshaul.delivery.part_body import CHUNK_BYTES, PartReader
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Fault, FaultKind, FileChangedError, HeldBackError, SourceError
from crosshaul.files.claimed_file import open_claimed, open_growing
from crosshaul.files.growing_prefix import GrowingFile
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import Payload, combine, compute
from crosshaul.integrity.verify import UploadResult, receipt_for, token_of
from crosshaul.model import Checksum, ChecksumKind, Claim, Multipart, Part, Receipt

_MAX_PARTS = 10_000
_MIB = 1 << 20


def part_size(size: int, wanted: int) -> int:
    """Return the part size in bytes: ``wanted``, or the whole MiB that keep a file of ``size`` within 10,000 parts."""
    minimum = -(-size // _MAX_PARTS)
    return wanted if minimum <= wanted else -(-minimum // _MIB) * _MIB


class MultipartUpload:
    """The multipart upload of one file. Once all parts are sent, it may be completed with another condition."""

    def __init__(self, claim: Claim, context: UploadContext) -> None:
        self._claim = claim
        self._context = context
        self._upload = claim.multipart
        self._sent = False

    @property
    def whole(self) -> Checksum | None:
        """The checksum of the whole file; None until all parts are sent, and if the parts' checksums don't combine."""
        return combine(self._upload.parts) if self._upload is not None and self._sent else None

    async def send(self, condition: Condition | None) -> Receipt:
        """Send the missing parts and complete the upload. Raises Fault or SourceError."""
        await self.prepare()
        return await self._complete(condition)

    async def prepare(self) -> None:
        """Send the missing parts, so that only the completing request is left. Raises Fault or SourceError."""
        if not self._sent:
            await self._send()

    async def abandon(self) -> None:
        """Drop the upload from the journal, and abort it if the role may."""
        upload, self._upload = self._upload, None
        if upload is None:
            return
        await self._context.journal.drop_multipart(self._claim)
        if not self._context.may_abort:
            return
        try:
            await self._context.bucket.abort_multipart_upload(upload.key, upload.upload_id)
        except Fault:
            return  # the journal keeps it for abandoned_uploads.py
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
                parts = await _PartSender(claim, context, source, upload).send()
                await reader.threads.run(claim, source.unchanged)
            except FileChangedError:
                await self.abandon()
                raise
        finally:
            context.buffers.clear()  # keep no spare memory between large files; other uploads allocate again
            reader.close_later(source)
        self._upload = replace(upload, parts=parts)
        self._sent = True

    def _open(self) -> SourceFile:
        """Open the file. Blocking."""
        claim = self._claim
        route = self._context.routes[claim.route]
        if not claim.never_settled:
            return open_claimed(claim, route)
        block = self._upload.part_size if self._upload is not None else self._part_size
        return open_growing(claim, route, block)

    async def _survey(self, source: GrowingFile) -> None:
        """Read a file that keeps changing once in full, and drop the sent parts whose bytes have changed since."""
        run = partial(self._context.files.for_route(self._claim.route).threads.run, self._claim)
        while await run(source.survey):
            pass
        if self._upload is not None:
            upload = self._upload
            parts = [part for part in upload.parts if await run(partial(_is_unchanged_part, upload, part, source))]
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
                context.on_request_accepted(claim)
                multipart = Multipart(upload_id, claim.key, size, kind)
                await context.journal.begin_multipart(claim, multipart)
                return multipart

    async def _complete(self, condition: Condition | None) -> Receipt:
        upload, context, size = self._upload, self._context, self._claim.fingerprint.size
        assert upload is not None  # noqa: S101 - all parts were sent
        confirmed = context.negotiator.confirmed is upload.checksum_kind
        whole = combine(upload.parts) if confirmed else None
        if not confirmed:
            plain = Checksum(ChecksumKind.MD5, "")
            upload = replace(upload, parts=tuple(replace(part, checksum=plain) for part in upload.parts))
        with await context.slot(self._claim):
            result = await context.bucket.complete_multipart_upload(upload, whole, size=size, condition=condition)
        return receipt_for(size, result if whole is None else result._replace(checksum=whole), context.clock.now())


def _is_unchanged_part(upload: Multipart, part: Part, source: SourceFile) -> bool:
    """Return whether the file still has the bytes of a sent part. Blocking."""
    data = source.read((part.number - 1) * upload.part_size, part.size)
    return compute(part.checksum.kind, data) == part.checksum


class _PartSender:
    """Sends the missing parts in parallel. After a failed part no new one is sent; those in flight end and are kept."""

    def __init__(self, claim: Claim, context: UploadContext, source: SourceFile, multipart: Multipart) -> None:
        self._claim = claim
        self._context = context
        self._reader = PartReader(claim, source, context.files.for_route(claim.route), multipart.part_size)
        self._multipart = multipart
        self._done = {part.number: part for part in multipart.parts}
        self._failure: Fault | SourceError | HeldBackError | None = None

    async def send(self) -> tuple[Part, ...]:
        """Send the missing parts, and return all parts in order. Raises the first failure."""
        hashed = await self._context.bucket.needs_hash()
        total = -(-self._claim.fingerprint.size // self._multipart.part_size)
        try:
            await self._send_missing(total, hashed=hashed)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group  # a journal error or a bug: one of them is enough
        if self._failure is not None:
            raise self._failure
        return tuple(self._done[number] for number in range(1, total + 1))

    async def _send_missing(self, total: int, *, hashed: bool) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1, total + 1):
                if number in self._done:
                    continue
                size = self._size_of(number)
                reserved = CHUNK_BYTES if self._must_stream(size) else size
                await self._context.memory.acquire(reserved)
                memory = Reservation(self._context.memory, reserved)
                if self._failure is not None:
                    memory.end()
                    break
                task = group.create_task(self._part(number, size, memory, hashed=hashed))
                # A task that is cancelled before its first step never releases the memory itself.
                task.add_done_callback(memory.end)

    def _size_of(self, number: int) -> int:
        offset = (number - 1) * self._multipart.part_size
        return min(self._multipart.part_size, self._claim.fingerprint.size - offset)

    def _must_stream(self, size: int) -> bool:
        """Return whether a part exceeds the memory budget."""
        return size > max(CHUNK_BYTES, self._context.memory.capacity)

    async def _part(self, number: int, size: int, memory: Reservation, *, hashed: bool) -> None:
        try:
            part = await self._send_part(number, size, memory, hashed=hashed)
            memory.end()  # before the journal call, so that the next part can start
            await self._context.journal.add_part(self._claim, part)
            self._done[number] = part
        except (Fault, SourceError, HeldBackError) as failure:
            self._failure = self._failure or failure

    async def _send_part(self, number: int, size: int, memory: Reservation, *, hashed: bool) -> Part:
        kind, negotiator = self._multipart.checksum_kind, self._context.negotiator
        kinds = (kind,) if negotiator.confirmed is kind or kind is ChecksumKind.MD5 else (kind, ChecksumKind.MD5)
        if memory.amount < size:
            payload = await self._reader.streamed(number, size, kinds, hashed=hashed)
            result = await self._put(number, payload)
        else:
            buffer = self._context.buffers.take(size)
            # If this fails or is cancelled, a thread may still be reading into the buffer: it is not given back.
            # Read before taking a slot: a file system that hangs must not hold a slot that others could use.
            payload = await self._reader.in_memory(number, buffer, kinds, hashed=hashed, on_stuck=memory.end)
            try:
                result = await self._put(number, payload)
            finally:
                self._context.buffers.give(buffer)
        self._context.on_body_accepted(self._claim)
        negotiator.record_echo(kind, result.checksum.kind if result.checksum else None)
        return Part(number, size, result.etag, payload.checksums[0])

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
                negotiator.record_refusal(kind)  # the next attempt begins a new upload with the next checksum
            raise
