"""Open and read the file of a claim, in the state that the claim records. All calls block."""

from __future__ import annotations

from crosshaul.config import Route
from crosshaul.errors import FileChangedError, FileGoneError, FileUnreadableError, RootMissingError
from crosshaul.files.growing_prefix import GrowingFile
from crosshaul.files.root import Root
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import Payload
from crosshaul.model import ChecksumKind, Claim


def open_claimed(claim: Claim, route: Route) -> SourceFile:
    """Open the file in its recorded state. Raises SourceError."""
    with _open_root(route) as root:
        source = root.open_file(claim.path, follow_inside=route.symlinks == "follow_inside")
    if source.fingerprint != claim.fingerprint:
        source.close()
        raise FileChangedError("the file changed after it had settled")
    return source


def open_growing(claim: Claim, route: Route, block: int) -> GrowingFile:
    """Open a file that never settled; it has to be surveyed before it is sent. Raises SourceError."""
    with (
        _open_root(route) as root,
        root.open_file(claim.path, follow_inside=route.symlinks == "follow_inside") as source,
    ):
        now, then = source.fingerprint, claim.fingerprint
        if now.inode != then.inode or now.size < then.size:
            raise FileChangedError("the file was replaced or truncated after it was queued")
        return GrowingFile(source.detach(), claim.path, then, block)


def read_claimed(claim: Claim, route: Route, kinds: tuple[ChecksumKind, ...], *, hashed: bool) -> Payload:
    """Read the whole file with its checksums. Raises SourceError."""
    size = claim.fingerprint.size
    with open_growing(claim, route, max(1, size)) if claim.never_settled else open_claimed(claim, route) as source:
        if isinstance(source, GrowingFile):
            source.survey()
        data = source.read(0, size)
        source.unchanged()
    return Payload.of(data, kinds, hashed=hashed)


def _open_root(route: Route) -> Root:
    # A root that is missing, unmounted or unreadable says nothing about its files: they stay pending.
    try:
        return Root.open(route.path)
    except FileGoneError as error:
        raise RootMissingError(f"the watched directory {route.path} is missing; is it mounted?") from error
    except FileUnreadableError as error:
        raise RootMissingError(f"the watched directory can't be read: {error}") from error
