"""A claim's bytes, in the state in which it came to rest: small files whole, large ones by descriptor, in parts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from crosshaul import cached
from crosshaul.checksum import Payload
from crosshaul.config import Route
from crosshaul.errors import FileChangedError, FileGoneError, SourceError
from crosshaul.model import ChecksumKind, Claim
from crosshaul.source import Root, SourceFile
from crosshaul.threads import Threads

_ROUNDS = 2
"""Rounds of fetching at once: one that a bad sector holds up is not in the way of all."""


class _Round:
    """Files that are fetched into memory together."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, bytes]] = []
        self.over = asyncio.Event()


class Files:
    """Reads files whole. What is in memory needs no thread, and for the small ones that are not, one serves many."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._fetching = asyncio.Semaphore(_ROUNDS)
        self._round = _Round()

    async def whole(self, claim: Claim, route: Route, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
        """All of the file, with its checksums. Raises SourceError."""
        data = await self._small(claim, route) if claim.fingerprint.size <= cached.MOST else None
        if data is not None:
            return Payload.of(data, kinds, hashed=hashed)
        return await self._threads.run(_whole, claim, route, kinds, hashed=hashed)

    async def _small(self, claim: Claim, route: Route) -> bytes | None:
        data = cached.read(route.path, claim.path, claim.fingerprint)
        if data is None and cached.serves(route.path):
            await self._fetch(route.path, claim.path)
            data = cached.read(route.path, claim.path, claim.fingerprint)
        return data

    async def _fetch(self, root: Path, path: bytes) -> None:
        """Come back when the file has been looked for; whoever is first in a round does it for all of them."""
        mine = self._round
        mine.files.append((root, path))
        if len(mine.files) > 1:
            await mine.over.wait()
            return
        try:
            async with self._fetching:
                self._round = _Round()
                await self._threads.run(cached.fetch, mine.files)
        finally:
            if self._round is mine:
                self._round = _Round()
            mine.over.set()


def opened(claim: Claim, route: Route) -> SourceFile:
    """The file, open in its recorded state; blocks. Raises SourceError."""
    with _root(route) as root:
        source = root.open_file(claim.path, follow_inside=route.symlinks == "follow_inside")
    if source.fingerprint != claim.fingerprint:
        source.close()
        raise FileChangedError("the file changed after it had come to rest")
    return source


def _whole(claim: Claim, route: Route, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
    with opened(claim, route) as source:
        data = source.read(0, claim.fingerprint.size)
        source.unchanged()
    return Payload.of(data, kinds, hashed=hashed)


def _root(route: Route) -> Root:
    try:
        return Root.open(route.path)
    except FileGoneError as error:
        # An unmounted or missing root says nothing of the files in it; they wait for it.
        raise SourceError(f"the watched directory {route.path} is missing; is it mounted?") from error
