"""Memory for large reads: mappings of their own, kept for the next part."""

from __future__ import annotations

import mmap
from contextlib import suppress

_HUGE_PAGE_BYTES = 2 << 20
"""With huge pages a part costs a few page faults. Thousands of faults took longer than the read itself."""


def allocate(length: int) -> memoryview:
    """Return zeroed memory in a mapping of its own, which is unmapped with the last view of it.

    On the heap, buffers of this size stay with the process: each thread's arena keeps the largest ones it had.
    """
    mapping = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if length >= _HUGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(mapping)


class BufferPool:
    """Reuses the memory of parts: the kernel needs as long to clear new memory as to read into it.

    The caller limits how much memory is in use. The pool keeps buffers of one length, the greatest that was requested.
    The last part of a file is shorter and gets memory of its own.
    """

    def __init__(self) -> None:
        self._length = 0
        self._spare: list[memoryview] = []

    def take(self, length: int) -> memoryview:
        """Return a buffer of ``length`` bytes with undefined content."""
        if length > self._length:
            self.clear()
            self._length = length
        return self._spare.pop() if length == self._length and self._spare else allocate(length)

    def give(self, buffer: memoryview) -> None:
        """Return a buffer that nothing reads or writes any more to the pool."""
        if len(buffer) == self._length:
            self._spare.append(buffer)

    def clear(self) -> None:
        """Release all spare buffers."""
        self._length = 0
        self._spare.clear()
