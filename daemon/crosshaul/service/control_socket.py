"""The control socket in state_dir: how the commands reach the daemon that runs. One JSON line asks, one answers.

Only the owner of state_dir can connect (directory 0700, socket 0600). Its path may be longer than the 107 bytes that a
socket's address holds: it is reached through its directory's descriptor.
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
_LONGEST = 64 * 1024
_ASKING = 5.0
"""Seconds that a client may take to say what it wants."""
_ANSWERING = 120.0
"""Seconds that an answer may take: a reload waits until what leaves has drained."""

Action = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlSocket:
    """Serves a daemon's actions, by name."""

    def __init__(self, state_dir: Path, actions: Mapping[str, Action]) -> None:
        self._state_dir = state_dir
        self._actions = actions

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``. Raises ControlError if the socket can't be made."""
        with _address(self._state_dir) as address:
            # Whoever holds state_dir's lock owns its socket: one that is there is of a life that ended.
            with suppress(FileNotFoundError):
                os.unlink(address)  # noqa: PTH108 - no Path: it goes through /proc
            listening = await self._listen(address)
            try:
                await stop.wait()
            finally:
                listening.close()
                with suppress(OSError):
                    os.unlink(address)  # noqa: PTH108

    async def _listen(self, address: str) -> asyncio.Server:
        try:
            server = await asyncio.start_unix_server(self._serve, address, limit=_LONGEST)
            os.chmod(address, 0o600)  # noqa: PTH101
        except OSError as error:
            raise ControlError(f"{self._state_dir / SOCKET} can't be made: {error.strerror or error}.") from error
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_ASKING):
                line = await reader.readline()
            writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
            async with asyncio.timeout(_ASKING):
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            return  # it said nothing, or too much, or went
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            action = self._actions[request["do"]]
        except (ValueError, KeyError, TypeError):
            return {"error": ["this daemon does not know that command; is it of another version?"]}
        try:
            return await action(request)
        except CrosshaulError as error:
            return {"error": str(error).splitlines()}


def ask(state_dir: Path, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The running daemon's answer (blocking). Raises ControlError: it refuses, or none runs."""
    try:
        with _address(state_dir) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWERING)
            connection.connect(address)
            _check_peer(connection, state_dir)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as file:
                answer: Mapping[str, Any] = json.loads(file.readline())
    except TimeoutError:
        raise ControlError(f"The daemon at {state_dir} gave no answer within {_ANSWERING:.0f} s.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it ended before it answered"
        raise ControlError(f"No daemon answers at {state_dir / SOCKET} ({reason}). Is it running?") from error
    if "error" in answer:
        raise ControlError("\n".join(answer["error"]))
    return answer


def _check_peer(connection: socket.socket, state_dir: Path) -> None:
    """Hear only the owner of state_dir, or root: where others can make a socket, they could pose as the daemon."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", told)
    if uid not in {0, state_dir.stat().st_uid}:
        raise ControlError(f"{state_dir / SOCKET} is served by uid {uid}, who is not the owner of {state_dir}.")


@contextmanager
def _address(state_dir: Path) -> Iterator[str]:
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
