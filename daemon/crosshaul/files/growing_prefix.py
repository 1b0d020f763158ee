"""Read a file that never settles: a prefix of it, as it was at one moment while the file grew.

The prefix is read twice. Bytes that are the same both times were all there between the end of the first read and the
start of the second. A file that is only appended to passes; one that is rewritten in place does not.
"""

from __future__ import annotations

import os
from collections import OrderedDict

from crosshaul.display import printable
from crosshaul.errors import FileChangedError
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import StreamingChecksum
from crosshaul.model import ChecksumKind, Claim, Fingerprint

_CHUNK_BYTES = 1 << 20
_SURVEY_BYTES = 256 << 20
_MAX_FILES = 1_000
"""Rewritten files that are remembered."""
_MIN_PAUSE_SECONDS = 30.0
_MAX_PAUSE_SECONDS = 3600.0


class GrowingFile(SourceFile):
    """An open file whose first ``fingerprint.size`` bytes are sent, in blocks of ``block`` bytes."""

    def __init__(self, descriptor: int, path: bytes, fingerprint: Fingerprint, block: int) -> None:
        super().__init__(descriptor, path, fingerprint)
        self._block = block
        self._sums: list[str] = []

    def survey(self) -> bool:
        """Read the next part for the first time; return False when all of it is read. Raises as ``read``."""
        start, size = len(self._sums) * self._block, self.fingerprint.size
        until = min(size, start + max(self._block, _SURVEY_BYTES))
        for offset in range(start, until, self._block):
            self._sums.append(self._sum(offset, min(self._block, size - offset)))
        return until < size

    def read(self, offset: int, length: int, into: memoryview | None = None) -> bytes | memoryview:
        """Return exactly ``length`` bytes from ``offset``. Raises FileChangedError if a whole block has changed."""
        data = super().read(offset, length, into)
        if self._sums and offset % self._block == 0 and length == min(self._block, self.fingerprint.size - offset):
            running = StreamingChecksum((ChecksumKind.CRC64NVME,))
            running.update(data)
            self.require(offset, running)
        return data

    def unchanged(self) -> None:
        """Raise FileChangedError if the file is shorter than the prefix; it may have grown."""
        if os.fstat(self._descriptor).st_size < self.fingerprint.size:
            raise FileChangedError(f"{printable(self.path)}: truncated while it was read")

    def _sum(self, start: int, length: int) -> str:
        running = StreamingChecksum((ChecksumKind.CRC64NVME,))
        for offset in range(start, start + length, _CHUNK_BYTES):
            running.update(super().read(offset, min(_CHUNK_BYTES, start + length - offset)))
        return running.checksums()[0].value

    def require(self, offset: int, running: StreamingChecksum) -> None:
        """Raise FileChangedError unless the block at ``offset`` has the CRC64NVME of the first read."""
        if running.checksums()[0].value != self._sums[offset // self._block]:
            raise FileChangedError(f"{printable(self.path)}: rewritten while it was read")


class Rewritten:
    """Files that were rewritten while they were read, each with a pause that doubles with each failure."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, bytes], tuple[int, float]] = OrderedDict()

    def paused(self, claim: Claim, now: float) -> bool:
        """Return whether the file's pause is not over yet."""
        return self._files.get((claim.route, claim.path), (0, now))[1] > now

    def failed(self, claim: Claim, now: float) -> int:
        """Count a failure of this file; return the number of its failures."""
        key = (claim.route, claim.path)
        count = self._files.pop(key, (0, 0.0))[0] + 1
        pause = min(_MAX_PAUSE_SECONDS, _MIN_PAUSE_SECONDS * 2.0 ** min(count - 1, 30))
        self._files[key] = (count, now + pause)
        while len(self._files) > _MAX_FILES:
            self._files.popitem(last=False)
        return count

    def succeeded(self, claim: Claim) -> None:
        """Forget the failures of this file."""
        self._files.pop((claim.route, claim.path), None)
