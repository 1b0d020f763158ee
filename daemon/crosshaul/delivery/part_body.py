"""The bytes of one part: in memory, or read twice piece by piece where the part is more than memory is there for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from crosshaul.files.growing import GrowingFile
from crosshaul.files.reader import RouteReader
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import Payload, StreamingChecksum
from crosshaul.integrity.streamed_body import StreamedBody
from crosshaul.model import ChecksumKind, Claim

PIECE_BYTES = 1 << 20
"""What a part that is streamed holds in memory at once, at most."""
_STEP_BYTES = 64 << 20
"""What one call of a thread works through: a longer one would look like a file system that hangs."""


async def work_through(
    reader: RouteReader,
    claim: Claim,
    source: SourceFile,
    span: range,
    each: tuple[StreamingChecksum, ...],
    into: memoryview | None = None,
    on_stuck: Callable[[], None] = lambda: None,
) -> None:
    """Give the bytes of ``span`` to each of these checksums, and keep them in ``into``. Raises SourceError."""
    for offset in range(0, len(span), _STEP_BYTES):
        step, end = span[offset : offset + _STEP_BYTES], offset + _STEP_BYTES
        await reader.threads.run(
            claim, partial(_step, source, step, each, None if into is None else into[offset:end]), on_stuck
        )


def _step(source: SourceFile, span: range, each: tuple[StreamingChecksum, ...], into: memoryview | None) -> None:
    for offset in range(0, len(span), PIECE_BYTES):
        length = min(PIECE_BYTES, len(span) - offset)
        data = source.read(span.start + offset, length, None if into is None else into[offset : offset + length])
        for running in each:
            running.update(data)
    source.unchanged()


class PartReader:
    """Reads the parts of one open file."""

    def __init__(self, claim: Claim, source: SourceFile, reader: RouteReader, part_size: int) -> None:
        self._claim = claim
        self._source = source
        self._reader = reader
        self._part_size = part_size

    async def held(
        self,
        number: int,
        into: memoryview,
        kinds: tuple[ChecksumKind, ...],
        *,
        hashed: bool,
        on_stuck: Callable[[], None],
    ) -> Payload:
        """A part in memory. Raises SourceError."""
        if len(into) <= _STEP_BYTES:
            read = partial(self._at_once, number, into, kinds, hashed=hashed)
            return await self._reader.threads.run(self._claim, read, on_stuck)
        running = await self._summed(number, len(into), StreamingChecksum(kinds, hashed=hashed), into, on_stuck)
        return Payload(into, running.checksums(), running.sha256())

    async def streamed(self, number: int, size: int, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """A part whose checksums are worked out first, and which is read again while it is sent. Raises SourceError."""
        running = await self._summed(number, size, StreamingChecksum(kinds, hashed=hashed))
        body = StreamedBody(size, partial(self._read, self._start(number)))
        return Payload(body, running.checksums(), running.sha256())

    def _start(self, number: int) -> int:
        return (number - 1) * self._part_size

    def _at_once(self, number: int, into: memoryview, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        data = self._source.read(self._start(number), len(into), into)
        self._source.unchanged()
        return Payload.of(data, kinds, hashed=hashed)

    async def _summed(
        self,
        number: int,
        size: int,
        running: StreamingChecksum,
        into: memoryview | None = None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> StreamingChecksum:
        start, twin = self._start(number), StreamingChecksum((ChecksumKind.CRC64NVME,))
        each = (running, twin) if isinstance(self._source, GrowingFile) else (running,)
        span = range(start, start + size)
        await work_through(self._reader, self._claim, self._source, span, each, into, on_stuck)
        if isinstance(self._source, GrowingFile):
            self._source.require(start, twin)
        return running

    async def _read(self, start: int, offset: int, length: int) -> bytes | memoryview:
        return await self._reader.threads.run(self._claim, partial(self._piece, start + offset, length))

    def _piece(self, offset: int, length: int) -> bytes | memoryview:
        data = self._source.read(offset, length)
        self._source.unchanged()
        return data
