"""The control socket in state_dir, by which commands reach the running daemon: one JSON line each way.

Only the owner of state_dir can connect (directory 0700, socket 0600). The path may be longer than the 107 bytes of a
socket address, so the socket is addressed through its directory's descriptor.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crosshaul.errors import ControlError, CrosshaulError

SOCKET = "control.sock"
_MAX_BYTES = 64 * 1024
_REQUEST_SECONDS = 5.0
"""Time that a client may take to send its request, and to read the response."""
_RESPONSE_SECONDS = 120.0
"""Time that a response may take: a reload waits until the replaced pipelines have drained."""

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlSocket:
    """Serves a daemon's control handlers, by name."""

    def __init__(self, state_dir: Path, handlers: Mapping[str, Handler]) -> None:
        self._state_dir = state_dir
        self._handlers = handlers

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``. Raises ControlError if the socket can't be created."""
        with _address(self._state_dir) as address:
            # The holder of state_dir's lock owns its socket, so an existing one is a dead daemon's.
            with suppress(FileNotFoundError):
                os.unlink(address)  # noqa: PTH108 - not a Path: it leads through /proc
            listening = await self._listen(address)
            try:
                await stop.wait()
            finally:
                listening.close()
                with suppress(OSError):
                    os.unlink(address)  # noqa: PTH108

    async def _listen(self, address: str) -> asyncio.Server:
        try:
            server = await asyncio.start_unix_server(self._serve, address, limit=_MAX_BYTES)
            os.chmod(address, 0o600)  # noqa: PTH101
        except OSError as error:
            raise ControlError(f"{self._state_dir / SOCKET} can't be created: {error.strerror or error}.") from error
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                line = await reader.readline()
            writer.write(json.dumps(await self._response(line)).encode() + b"\n")
            async with asyncio.timeout(_REQUEST_SECONDS):
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            return  # the client sent nothing or too much, or has gone
        finally:
            writer.close()

    async def _response(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError):
            return {"error": ["the daemon does not know this command; is it another version?"]}
        try:
            return await handler(request)
        except CrosshaulError as error:
            return {"error": str(error).splitlines()}


def send_request(state_dir: Path, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send a request to the running daemon and return its response. Blocks.

    Raises ControlError if the daemon refuses, or none is running.
    """
    try:
        with _address(state_dir) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_RESPONSE_SECONDS)
            connection.connect(address)
            _check_peer(connection, state_dir)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as file:
                response: Mapping[str, Any] = json.loads(file.readline())
    except TimeoutError:
        raise ControlError(f"The daemon at {state_dir} did not answer within {_RESPONSE_SECONDS:.0f} s.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it closed the connection"
        raise ControlError(f"No daemon answers at {state_dir / SOCKET} ({reason}). Is it running?") from error
    if "error" in response:
        raise ControlError("\n".join(response["error"]))
    return response


def _check_peer(connection: socket.socket, state_dir: Path) -> None:
    """Refuse a server that runs neither as the owner of state_dir nor as root: it could pose as the daemon."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid not in {0, state_dir.stat().st_uid}:
        raise ControlError(f"{state_dir / SOCKET} is served by uid {uid}, which does not own {state_dir}.")


@contextmanager
def _address(state_dir: Path) -> Iterator[str]:
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
