"""A file that never rests: the first bytes of it, as they all stood at one moment while it went on growing.

They are read twice. What is the same both times was there, all of it, between the end of the first reading and the
start of the second. A file that is only appended to passes; one that is rewritten in place does not.
"""

from __future__ import annotations

import os
from collections import OrderedDict

from crosshaul.errors import FileChangedError
from crosshaul.files.source import SourceFile, shown
from crosshaul.integrity.checksum import StreamingChecksum
from crosshaul.model import ChecksumKind, Claim, Fingerprint

_PIECE = 1 << 20
_AT_ONCE = 256 << 20
_KEPT = 1_000
"""Files that are remembered for having been rewritten while they were read."""
_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 3600.0


class GrowingFile(SourceFile):
    """An open file of which the first ``fingerprint.size`` bytes are to be sent, in blocks of ``block`` bytes."""

    def __init__(self, descriptor: int, path: bytes, fingerprint: Fingerprint, block: int) -> None:
        super().__init__(descriptor, path, fingerprint)
        self._block = block
        self._sums: list[str] = []

    def survey(self) -> bool:
        """Read some more of it for the first time; False when all of it is read. Raises as ``read`` does."""
        start, size = len(self._sums) * self._block, self.fingerprint.size
        until = min(size, start + max(self._block, _AT_ONCE))
        for offset in range(start, until, self._block):
            self._sums.append(self._sum(offset, min(self._block, size - offset)))
        return until < size

    def read(self, offset: int, length: int, into: memoryview | None = None) -> bytes | memoryview:
        """Exactly ``length`` bytes from ``offset``. Raises FileChangedError if a whole block is not what it was."""
        data = super().read(offset, length, into)
        if self._sums and offset % self._block == 0 and length == min(self._block, self.fingerprint.size - offset):
            running = StreamingChecksum((ChecksumKind.CRC64NVME,))
            running.update(data)
            self.require(offset, running)
        return data

    def unchanged(self) -> None:
        """Raise FileChangedError if it has become shorter; that it grows is as expected."""
        if os.fstat(self._descriptor).st_size < self.fingerprint.size:
            raise FileChangedError(f"{shown(self.path)}: it became shorter while it was read")

    def _sum(self, start: int, length: int) -> str:
        running = StreamingChecksum((ChecksumKind.CRC64NVME,))
        for offset in range(start, start + length, _PIECE):
            running.update(super().read(offset, min(_PIECE, start + length - offset)))
        return running.checksums()[0].value

    def require(self, offset: int, running: StreamingChecksum) -> None:
        """Raise FileChangedError unless the block at ``offset`` has the same CRC64NVME as it had at first."""
        if running.checksums()[0].value != self._sums[offset // self._block]:
            raise FileChangedError(f"{shown(self.path)}: it is rewritten while it is read")


class Rewritten:
    """Files that never rest and were rewritten while they were read: each is left alone for longer and longer."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, bytes], tuple[int, float]] = OrderedDict()

    def paused(self, claim: Claim, now: float) -> bool:
        """Whether it would be too early to try this file again."""
        return self._files.get((claim.route, claim.path), (0, now))[1] > now

    def failed(self, claim: Claim, now: float) -> int:
        """It was rewritten once more; gives how often now."""
        key = (claim.route, claim.path)
        count = self._files.pop(key, (0, 0.0))[0] + 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(count - 1, 30))
        self._files[key] = (count, now + pause)
        while len(self._files) > _KEPT:
            self._files.popitem(last=False)
        return count

    def succeeded(self, claim: Claim) -> None:
        """It got through: nothing is held against it."""
        self._files.pop((claim.route, claim.path), None)
