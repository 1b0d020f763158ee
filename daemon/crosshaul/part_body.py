"""The bytes of one part: in memory, or read twice piece by piece where the part is more than memory is there for."""

from __future__ import annotations

from functools import partial

from crosshaul.checksum import Payload, Running
from crosshaul.growing import GrowingFile
from crosshaul.model import ChecksumKind, Claim
from crosshaul.reading import RouteReader
from crosshaul.source import SourceFile
from crosshaul.streamed import Streamed

PIECE_BYTES = 1 << 20
"""What a part that is streamed holds in memory at once, at most."""
_STEP_BYTES = 64 << 20
"""What one call of a thread works through: a longer one would look like a file system that hangs."""


class PartReader:
    """Reads the parts of one open file."""

    def __init__(self, claim: Claim, source: SourceFile, reader: RouteReader, part_size: int) -> None:
        self._claim = claim
        self._source = source
        self._reader = reader
        self._part_size = part_size

    def held(self, number: int, into: memoryview, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """A part in memory. Blocks; raises SourceError."""
        data = self._source.read((number - 1) * self._part_size, len(into), into)
        self._source.unchanged()
        return Payload.of(data, kinds, hashed=hashed)

    async def streamed(self, number: int, size: int, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """A part whose checksums are worked out first, and which is read again while it is sent. Raises SourceError."""
        start = (number - 1) * self._part_size
        running, twin = Running(kinds, hashed=hashed), Running((ChecksumKind.CRC64NVME,))
        growing = isinstance(self._source, GrowingFile)
        each = (running, twin) if growing else (running,)
        for offset in range(start, start + size, _STEP_BYTES):
            await self._reader.run(
                self._claim, partial(self._work_through, offset, min(offset + _STEP_BYTES, start + size), each)
            )
        if isinstance(self._source, GrowingFile):
            self._source.require(start, twin)
        return Payload(Streamed(size, partial(self._read, start)), running.checksums(), running.sha256())

    def _work_through(self, start: int, end: int, each: tuple[Running, ...]) -> None:
        for offset in range(start, end, PIECE_BYTES):
            data = self._source.read(offset, min(PIECE_BYTES, end - offset))
            for running in each:
                running.update(data)
        self._source.unchanged()

    async def _read(self, start: int, offset: int, length: int) -> bytes | memoryview:
        return await self._reader.run(self._claim, partial(self._piece, start + offset, length))

    def _piece(self, offset: int, length: int) -> bytes | memoryview:
        data = self._source.read(offset, length)
        self._source.unchanged()
        return data
