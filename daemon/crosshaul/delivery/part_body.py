"""Read one part of a large file: into memory, or twice chunk by chunk if the part exceeds the memory budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from crosshaul.files.growing_prefix import GrowingFile
from crosshaul.files.reader import RouteReader
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import Payload, StreamingChecksum
from crosshaul.integrity.streamed_body import StreamedBody
from crosshaul.model import ChecksumKind, Claim

CHUNK_BYTES = 1 << 20
"""Memory that a streamed part takes at most."""
_STEP_BYTES = 64 << 20
"""Bytes per call of a reader's thread: a longer call would look like a file system that hangs."""


async def feed_checksums(
    reader: RouteReader,
    claim: Claim,
    source: SourceFile,
    span: range,
    checksums: tuple[StreamingChecksum, ...],
    into: memoryview | None = None,
    on_stuck: Callable[[], None] = lambda: None,
) -> None:
    """Read the bytes of ``span``, update the checksums, and store the bytes in ``into``. Raises SourceError."""
    for offset in range(0, len(span), _STEP_BYTES):
        step, end = span[offset : offset + _STEP_BYTES], offset + _STEP_BYTES
        await reader.threads.run(
            claim, partial(_step, source, step, checksums, None if into is None else into[offset:end]), on_stuck
        )


def _step(source: SourceFile, span: range, checksums: tuple[StreamingChecksum, ...], into: memoryview | None) -> None:
    for offset in range(0, len(span), CHUNK_BYTES):
        length = min(CHUNK_BYTES, len(span) - offset)
        data = source.read(span.start + offset, length, None if into is None else into[offset : offset + length])
        for running in checksums:
            running.update(data)
    source.unchanged()


class PartReader:
    """Reads the parts of one open file."""

    def __init__(self, claim: Claim, source: SourceFile, reader: RouteReader, part_size: int) -> None:
        self._claim = claim
        self._source = source
        self._reader = reader
        self._part_size = part_size

    async def in_memory(
        self,
        number: int,
        into: memoryview,
        kinds: tuple[ChecksumKind, ...],
        *,
        hashed: bool,
        on_stuck: Callable[[], None],
    ) -> Payload:
        """Read a part into a buffer. Raises SourceError."""
        if len(into) <= _STEP_BYTES:
            read = partial(self._read_at_once, number, into, kinds, hashed=hashed)
            return await self._reader.threads.run(self._claim, read, on_stuck)
        running = await self._checksums(number, len(into), StreamingChecksum(kinds, hashed=hashed), into, on_stuck)
        return Payload(into, running.checksums(), running.sha256())

    async def streamed(self, number: int, size: int, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """Compute a part's checksums, and return a body that reads the part again while it is sent.

        Raises SourceError.
        """
        running = await self._checksums(number, size, StreamingChecksum(kinds, hashed=hashed))
        body = StreamedBody(size, partial(self._read, self._start(number)))
        return Payload(body, running.checksums(), running.sha256())

    def _start(self, number: int) -> int:
        return (number - 1) * self._part_size

    def _read_at_once(self, number: int, into: memoryview, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        data = self._source.read(self._start(number), len(into), into)
        self._source.unchanged()
        return Payload.of(data, kinds, hashed=hashed)

    async def _checksums(
        self,
        number: int,
        size: int,
        running: StreamingChecksum,
        into: memoryview | None = None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> StreamingChecksum:
        start, survey = self._start(number), StreamingChecksum((ChecksumKind.CRC64NVME,))
        checksums = (running, survey) if isinstance(self._source, GrowingFile) else (running,)
        span = range(start, start + size)
        await feed_checksums(self._reader, self._claim, self._source, span, checksums, into, on_stuck)
        if isinstance(self._source, GrowingFile):
            self._source.require(start, survey)
        return running

    async def _read(self, start: int, offset: int, length: int) -> bytes | memoryview:
        return await self._reader.threads.run(self._claim, partial(self._read_chunk, start + offset, length))

    def _read_chunk(self, offset: int, length: int) -> bytes | memoryview:
        data = self._source.read(offset, length)
        self._source.unchanged()
        return data
