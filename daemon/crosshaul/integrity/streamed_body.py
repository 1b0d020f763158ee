"""A request body that is read while it is sent, because it exceeds the memory budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Read = Callable[[int, int], Awaitable["bytes | memoryview"]]
"""Reads bytes of the body: (offset, length) -> data. May be called again for the same bytes."""


class BodySlice:
    """A slice of a streamed body."""

    def __init__(self, read: Read, offset: int, length: int) -> None:
        self._read = read
        self._offset = offset
        self._length = length

    def __len__(self) -> int:
        return self._length

    async def data(self) -> bytes | memoryview:
        """Read the slice. Raises what ``read`` raises."""
        return await self._read(self._offset, self._length)


class StreamedBody:
    """A body of ``size`` bytes."""

    def __init__(self, size: int, read: Read) -> None:
        self._size = size
        self._read = read

    def __len__(self) -> int:
        return self._size

    def slice(self, start: int, end: int) -> BodySlice:
        """Return the slice from ``start`` to ``end``, or to the end of the body."""
        return BodySlice(self._read, start, min(end, self._size) - start)
