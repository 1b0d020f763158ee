"""A connection of limited bandwidth before a server: one token bucket for all connections, as in an uplink."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PIECE = 4096


class SlowLine:
    """Limits the bytes to the server; those from it are not limited."""

    def __init__(self, bytes_per_second: float) -> None:
        self.rate = bytes_per_second
        self.port = 0
        self.carried = 0
        """Bytes that went up."""
        self.connections = 0
        self._free_at = 0.0

    async def _turn(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time() - 0.05) + size / self.rate
        self.carried += size
        await asyncio.sleep(self._free_at - loop.time())

    async def up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                await self._turn(len(data))
                writer.write(data)
                await writer.drain()
        writer.close()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def slow_line(to_port: int, bytes_per_second: float) -> AsyncIterator[SlowLine]:
    """Relay to a port of this machine, with small buffers, so that bytes wait at the sender."""
    line, tasks = SlowLine(bytes_per_second), set[asyncio.Task[None]]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        line.connections += 1
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", to_port)
            try:
                await asyncio.gather(line.up(reader, onward), _down(back, writer))
            finally:
                onward.transport.abort()
        finally:
            writer.transport.abort()
            tasks.discard(task)

    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
        line.port = sock.getsockname()[1]
        server = await asyncio.start_server(carry, sock=sock, limit=_PIECE)
        try:
            yield line
        finally:
            server.close()
            for task in [*tasks]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
