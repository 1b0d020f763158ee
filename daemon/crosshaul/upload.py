"""One claim's way into the bucket: open, read, send, prove. Small files in one request, large ones in parts.

The file is read from one descriptor and held against its recorded fingerprint before, during and after: what is sent is
one state that the file really had. Bytes are in memory only while they are sent, under a budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from crosshaul import reading
from crosshaul.checksum import Payload, combine
from crosshaul.clock import Clock
from crosshaul.config import Destination, Route
from crosshaul.config import Transfer as TransferConfig
from crosshaul.errors import Diagnosis, Fault, FileChangedError, Kind, SourceError
from crosshaul.flow import Budget, Lease
from crosshaul.model import LARGE, Checksum, ChecksumKind, Claim, Multipart, Part, Receipt
from crosshaul.source import Buffers, SourceFile, shown
from crosshaul.threads import Threads
from crosshaul.verify import Answer, Held, Ladder, contradicts, is_ours, token_of

_MAX_PARTS = 10_000
_MIB = 1 << 20
_ASK_FROM = LARGE
"""Bytes from which a HEAD costs less than a body that turns out to be in the bucket already."""


class ObjectStore(Protocol):
    """What an upload needs of a bucket; each method raises Fault and nothing else."""

    async def needs_hash(self) -> bool: ...  # noqa: D102 - described where it is implemented (aws/bucket.py)
    async def put_object(  # noqa: D102
        self, key: str, payload: Payload, mtime_ns: int, token: str, *, if_new: bool
    ) -> Answer: ...
    async def create_multipart_upload(  # noqa: D102
        self, key: str, mtime_ns: int, token: str, kind: ChecksumKind
    ) -> str: ...
    async def upload_part(self, key: str, upload_id: str, number: int, payload: Payload) -> Answer: ...  # noqa: D102
    async def complete_multipart_upload(  # noqa: D102
        self, multipart: Multipart, whole: Checksum | None, *, size: int, if_new: bool
    ) -> Answer: ...
    async def abort_multipart_upload(self, multipart: Multipart) -> None: ...  # noqa: D102
    async def head_object(self, key: str) -> Held | None: ...  # noqa: D102


class Progress(Protocol):
    """Where multipart uploads are kept, so that a restart goes on where they were."""

    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None: ...  # noqa: D102
    async def add_part(self, claim: Claim, part: Part) -> None: ...  # noqa: D102
    async def drop_multipart(self, claim: Claim) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Means:
    """What all uploads to one destination share."""

    destination: Destination
    bucket: ObjectStore
    journal: Progress
    routes: dict[str, Route]
    """Those of which something may be under way, and how they are to be treated."""
    sizes: TransferConfig
    memory: Budget
    """For large files and their parts."""
    buffers: Buffers
    """For the parts; what is in use is within ``memory``."""
    memory_of_small: Budget
    slots: Budget
    """Requests in flight."""
    ladder: Ladder
    answered: Callable[[], None]
    """Called for each body that S3 took: there is room for more."""
    clock: Clock
    threads: Threads
    """For reading the parts of large files."""
    files: reading.Files
    """For reading the others."""
    may_abort: bool = True
    """False where a check found that the role may not: an abandoned upload is left to the bucket's lifecycle rule."""

    def takes(self, claim: Claim) -> bool:
        """Whether the claim is for this destination and prefix still: the configuration may have changed since."""
        return claim.destination == self.destination.name and claim.key.startswith(self.destination.key_prefix)

    def memory_for(self, claim: Claim) -> Budget:
        """What a file that is sent in one request takes its memory from."""
        return self.memory if claim.large else self.memory_of_small


def part_size(size: int, wanted: int) -> int:
    """``wanted`` bytes, or as much more as keeps the parts of a file of ``size`` bytes within 10,000 (whole MiB)."""
    least = -(-size // _MAX_PARTS)
    return wanted if least <= wanted else -(-least // _MIB) * _MIB


async def deliver(claim: Claim, means: Means) -> Receipt:
    """Bring the claim's file into the bucket; raises Fault or SourceError."""
    never, first = means.routes[claim.route].overwrite == "never", _is_first(claim)
    asks = claim.ambiguous or (first and claim.fingerprint.size >= _ASK_FROM)
    if asks and (held := await _found(claim, means)):
        return _recognised(held, means)
    cautious = first and means.ladder.conditional and claim.fingerprint.size < _ASK_FROM
    try:
        return await _send(claim, means, if_new=never or cautious)
    except Fault as fault:
        if fault.kind is Kind.EXISTS:
            # The object that is there may be our own: put by a try whose answer was lost, or before the journal was.
            held = await _found(claim, means)
            if held is not None and not await _contradicts(claim, held, means):
                return _recognised(held, means)
        elif cautious and fault.kind is Kind.UNSUPPORTED:
            means.ladder.conditional = False
        else:
            raise
        if never:
            raise
    return await _send(claim, means, if_new=False)


def _is_first(claim: Claim) -> bool:
    """Whether nothing is known of an earlier try: then the file is new, or the journal is, and must not send all again.

    ``If-None-Match: *`` tells the two apart at no cost for a new file, and needs no right but PutObject.
    """
    return claim.generation == 1 and claim.attempts == 0 and claim.multipart is None


async def _send(claim: Claim, means: Means, *, if_new: bool) -> Receipt:
    if claim.fingerprint.size < means.sizes.multipart_threshold:
        return await _in_one(claim, means, if_new=if_new)
    return await _in_parts(claim, means, if_new=if_new)


async def _found(claim: Claim, means: Means) -> Held | None:
    """What lies under the key, if it carries the token of this very state of the file."""
    async with means.slots.hold(1):
        held = await means.bucket.head_object(claim.key)
    return held if held is not None and is_ours(held, claim) else None


def _recognised(held: Held, means: Means) -> Receipt:
    return Receipt(held.etag, held.size, means.clock.now(), held.checksum, version_id=held.version_id, proven_by="head")


async def _contradicts(claim: Claim, held: Held, means: Means) -> bool:
    """Whether an object with our token holds other bytes: a store that garbled them once must not get away with it."""
    size = claim.fingerprint.size
    if size >= means.sizes.multipart_threshold:
        return False  # each part was checked, and the ETag of the whole is no MD5
    route = means.routes[claim.route]
    async with means.memory_for(claim).hold(size):
        payload = await means.files.whole(claim, route, (ChecksumKind.MD5,), hashed=False)
    return contradicts(held, payload.checksums[0])


def _receipt(claim: Claim, answer: Answer, means: Means) -> Receipt:
    return Receipt(
        answer.etag,
        claim.fingerprint.size,
        means.clock.now(),
        answer.checksum,
        answer.version_id,
        answer.request_id,
    )


# In one request


async def _in_one(claim: Claim, means: Means, *, if_new: bool) -> Receipt:
    route = means.routes[claim.route]
    asked = if_new and route.overwrite != "never"
    hashed = await means.bucket.needs_hash()
    if claim.large:
        means.buffers.clear()  # what is spare would come on top
    async with means.memory_for(claim).hold(claim.fingerprint.size):
        while True:
            kinds = means.ladder.kinds()
            payload = await means.files.whole(claim, route, kinds, hashed=hashed)
            try:
                async with means.slots.hold(1):
                    answer = await means.bucket.put_object(
                        claim.key, payload, claim.fingerprint.mtime_ns, token_of(claim), if_new=if_new
                    )
            except Fault as fault:
                if fault.diagnosis.code == "SenselessAnswer":
                    means.ladder.learn(kinds[0], None)  # the next is sent with an MD5 beside it
                if fault.kind is not Kind.UNSUPPORTED or asked or not means.ladder.refuse(kinds[0]):
                    raise
            else:
                means.answered()
                means.ladder.learn(kinds[0], answer.checksum.kind if answer.checksum else None)
                return _receipt(claim, _with_proof(answer, payload.checksums), means)


def _with_proof(answer: Answer, sent: tuple[Checksum, ...]) -> Answer:
    """A store that echoes no checksum has still checked the Content-MD5 it was given."""
    return answer if answer.checksum else answer._replace(checksum=sent[-1])


# In parts


async def _in_parts(claim: Claim, means: Means, *, if_new: bool) -> Receipt:
    route = means.routes[claim.route]
    source = await means.threads.run(reading.opened, claim, route)
    try:
        multipart = claim.multipart or await _begin(claim, means)
        sender = _Sender(claim, means, source, multipart)
        try:
            parts = await sender.send()
            await means.threads.run(source.unchanged)
        except FileChangedError:
            await _abandon(claim, multipart, means)
            raise
    finally:
        means.buffers.clear()  # nothing is spare when nothing is sent in parts; who still does takes new memory
        await means.threads.run(source.close)
    return await _complete(claim, replace(multipart, parts=parts), means, if_new=if_new)


async def _begin(claim: Claim, means: Means) -> Multipart:
    size = part_size(claim.fingerprint.size, means.sizes.part_size)
    while True:
        kind = means.ladder.kind
        try:
            async with means.slots.hold(1):
                upload_id = await means.bucket.create_multipart_upload(
                    claim.key, claim.fingerprint.mtime_ns, token_of(claim), kind
                )
        except Fault as fault:
            if fault.kind is not Kind.UNSUPPORTED or not means.ladder.refuse(kind):
                raise
        else:
            multipart = Multipart(upload_id, claim.key, size, kind)
            await means.journal.begin_multipart(claim, multipart)
            return multipart


async def _abandon(claim: Claim, multipart: Multipart, means: Means) -> None:
    await means.journal.drop_multipart(claim)
    if not means.may_abort:
        return
    try:
        await means.bucket.abort_multipart_upload(multipart)
    except Fault:
        # Abort is a right of its own that the role need not have; the bucket's lifecycle rule clears up then.
        return


async def _complete(claim: Claim, multipart: Multipart, means: Means, *, if_new: bool) -> Receipt:
    honoured = means.ladder.known is multipart.checksum_kind
    whole = combine(multipart.parts) if honoured else None
    if not honoured:
        plain = Checksum(ChecksumKind.MD5, "")
        multipart = replace(multipart, parts=tuple(replace(part, checksum=plain) for part in multipart.parts))
    async with means.slots.hold(1):
        answer = await means.bucket.complete_multipart_upload(
            multipart, whole, size=claim.fingerprint.size, if_new=if_new
        )
    return _receipt(claim, answer if whole is None else answer._replace(checksum=whole), means)


class _Sender:
    """Sends the missing parts in parallel. A part that fails stops new ones; those under way end and are kept."""

    def __init__(self, claim: Claim, means: Means, source: SourceFile, multipart: Multipart) -> None:
        self._claim = claim
        self._means = means
        self._source = source
        self._multipart = multipart
        self._done = {part.number: part for part in multipart.parts}
        self._failure: Fault | SourceError | None = None

    async def send(self) -> tuple[Part, ...]:
        """All parts in order; raises the first failure."""
        hashed = await self._means.bucket.needs_hash()
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
                await self._means.memory.acquire(size)
                memory = Lease(self._means.memory, size)
                if self._failure is not None:
                    memory.end()
                    break
                task = group.create_task(self._part(number, size, memory, hashed=hashed))
                # A task that is cancelled before its first step would never give it back itself.
                task.add_done_callback(memory.end)

    def _size_of(self, number: int) -> int:
        offset = (number - 1) * self._multipart.part_size
        return min(self._multipart.part_size, self._claim.fingerprint.size - offset)

    async def _part(self, number: int, size: int, memory: Lease, *, hashed: bool) -> None:
        try:
            async with self._means.slots.hold(1):
                part = await self._send_part(number, size, hashed=hashed)
            memory.end()  # the next part need not wait for the journal
            await self._means.journal.add_part(self._claim, part)
            self._done[number] = part
        except (Fault, SourceError) as failure:
            self._failure = self._failure or failure

    async def _send_part(self, number: int, size: int, *, hashed: bool) -> Part:
        kind, ladder = self._multipart.checksum_kind, self._means.ladder
        kinds = (kind,) if ladder.known is kind or kind is ChecksumKind.MD5 else (kind, ChecksumKind.MD5)
        buffer = self._means.buffers.take(size)
        # If this is cancelled, or fails, a thread may still be reading into it.
        payload = await self._means.threads.run(self._read, number, buffer, kinds, hashed=hashed)
        try:
            answer = await self._means.bucket.upload_part(self._claim.key, self._multipart.upload_id, number, payload)
        except Fault as fault:
            if fault.diagnosis.code == "SenselessAnswer":
                ladder.learn(kind, None)
            if fault.kind is Kind.UNSUPPORTED:
                ladder.refuse(kind)  # the next try begins a new upload, with the next checksum
            raise
        finally:
            self._means.buffers.give(buffer)
        self._means.answered()
        ladder.learn(kind, answer.checksum.kind if answer.checksum else None)
        return Part(number, size, answer.etag, payload.checksums[0])

    def _read(self, number: int, into: memoryview, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        data = self._source.read((number - 1) * self._multipart.part_size, len(into), into)
        self._source.unchanged()
        return Payload.of(data, kinds, hashed=hashed)


def of_source(error: SourceError, path: bytes) -> Diagnosis:
    """A local trouble in the words of a diagnosis, which is shown beside its file's path."""
    message = str(error).removeprefix(f"{shown(path)}: ")
    return Diagnosis(Kind.LOCAL, type(error).__name__.removesuffix("Error"), message)
