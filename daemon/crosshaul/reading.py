"""A claim's bytes, in the state in which it came to rest: small files whole, large ones by descriptor, in parts."""

from __future__ import annotations

from crosshaul import cached
from crosshaul.checksum import Payload
from crosshaul.config import Route
from crosshaul.errors import FileChangedError, FileGoneError, SourceError
from crosshaul.model import ChecksumKind, Claim
from crosshaul.source import Root, SourceFile
from crosshaul.threads import Threads


async def whole(
    claim: Claim, route: Route, threads: Threads, kinds: tuple[ChecksumKind, ...], *, hashed: bool
) -> Payload:
    """All of the file, with its checksums. Raises SourceError."""
    if claim.fingerprint.size <= cached.MOST:
        data = cached.read(route.path, claim.path, claim.fingerprint)
        if data is not None:
            return Payload.of(data, kinds, hashed=hashed)
    return await threads.run(_whole, claim, route, kinds, hashed=hashed)


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
