"""Make the object keys of settled files, or refuse files that can have none."""

from __future__ import annotations

from crosshaul.config import Route
from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileUnreadableError, SourceError
from crosshaul.files.root import Root
from crosshaul.keys import KeyFields, KeyRefused, Template
from crosshaul.model import MAX_OBJECT_BYTES, NO_PLAN, PlanId, Refusal, Settled, SettleReason, Sighting


class KeyNamer:
    """Makes the object keys of one route's files."""

    def __init__(self, route: Route, hostname: str, key_prefix: str, plan: PlanId = NO_PLAN) -> None:
        self._route = route
        self._plan = plan
        self._hostname = hostname
        self._key_prefix = key_prefix
        self._template = Template.parse(route.key)
        self.needs_sha256 = self._template.needs_sha256

    def sha256(self, sighting: Sighting) -> str:
        """Return the content's digest (blocking). Raises SourceError if the file is unreadable or has changed."""
        inside = self._route.symlinks == "follow_inside"
        with Root.open(self._route.path) as root, root.open_file(sighting.path, follow_inside=inside) as file:
            if file.fingerprint != sighting.fingerprint:
                raise FileChangedError(f"{printable(sighting.path)}: changed since it was seen")
            return file.sha256()

    def read(self, sighting: Sighting, reason: SettleReason) -> Settled | None:
        """Read the file if its key needs the digest, and ``name`` it (blocking); None if it changed meanwhile."""
        try:
            needed = self.needs_sha256 and not self.refuses(sighting)
            return self.name(sighting, reason, self.sha256(sighting) if needed else None)
        except FileUnreadableError as error:
            return self.refuse(sighting, "FileUnreadable", str(error))
        except SourceError:
            return None

    @staticmethod
    def refuses(sighting: Sighting) -> bool:
        """True if the file is larger than an S3 object may be."""
        return sighting.fingerprint.size > MAX_OBJECT_BYTES

    def name(self, sighting: Sighting, reason: SettleReason, sha256: str | None) -> Settled:
        """Return the file with its key or its refusal. For a file that is too large ``sha256`` may be None."""
        if self.refuses(sighting):
            message = f"it has {sighting.fingerprint.size:,} bytes, and S3 takes {MAX_OBJECT_BYTES:,} at most; split it"
            return self.refuse(sighting, "EntityTooLarge", message)
        fields = KeyFields(sighting.path, self._route.name, self._hostname, sighting.fingerprint.mtime_ns, sha256)
        try:
            key = self._template.render(fields, self._key_prefix)
        except KeyRefused as refused:
            return self.refuse(sighting, refused.code, str(refused))
        return Settled(sighting, self._route.destination, key, reason=reason, plan=self._plan)

    def refuse(self, sighting: Sighting, code: str, message: str) -> Settled:
        """Return the file with the reason why it can't be delivered."""
        return Settled(sighting, self._route.destination, "", Refusal(code, message), plan=self._plan)
