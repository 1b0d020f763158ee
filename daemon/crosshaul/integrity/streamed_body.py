"""A body that is read while it is sent, since it is more than memory is there for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Read = Callable[[int, int], Awaitable["bytes | memoryview"]]
"""Gives so many bytes from an offset of the body; may be asked for the same again."""


class BodySlice:
    """A piece of it."""

    def __init__(self, read: Read, offset: int, length: int) -> None:
        self._read = read
        self._offset = offset
        self._length = length

    def __len__(self) -> int:
        return self._length

    async def data(self) -> bytes | memoryview:
        """Read it now; raises what ``read`` raises."""
        return await self._read(self._offset, self._length)


class StreamedBody:
    """A body of ``size`` bytes."""

    def __init__(self, size: int, read: Read) -> None:
        self._size = size
        self._read = read

    def __len__(self) -> int:
        return self._size

    def piece(self, start: int, end: int) -> BodySlice:
        """From one offset to another, or to the end of the body."""
        return BodySlice(self._read, start, min(end, self._size) - start)
