"""Give a file that came to rest its key, or the reason why it can have none."""

from __future__ import annotations

from crosshaul.config import Route
from crosshaul.errors import FileChangedError
from crosshaul.keys import Facts, KeyRefused, Template
from crosshaul.model import NO_PLAN, Plan, Reason, Refusal, Settled, Sighting
from crosshaul.source import Root, shown


class Namer:
    """Gives a file that came to rest its key."""

    def __init__(self, route: Route, hostname: str, key_prefix: str, plan: Plan = NO_PLAN) -> None:
        self._route = route
        self._plan = plan
        self._hostname = hostname
        self._key_prefix = key_prefix
        self._template = Template.parse(route.key)
        self.needs_sha256 = self._template.needs_sha256

    def sha256(self, sighting: Sighting) -> str:
        """The content's digest (blocking). Raises SourceError if it can't be read, or not as it was seen."""
        inside = self._route.symlinks == "follow_inside"
        with Root.open(self._route.path) as root, root.open_file(sighting.path, follow_inside=inside) as file:
            if file.fingerprint != sighting.fingerprint:
                raise FileChangedError(f"{shown(sighting.path)}: it changed since it was seen")
            return file.sha256()

    def name(self, sighting: Sighting, reason: Reason, sha256: str | None) -> Settled:
        """With its key, or with the reason why it can have none."""
        facts = Facts(sighting.path, self._route.name, self._hostname, sighting.fingerprint.mtime_ns, sha256)
        try:
            key = self._template.render(facts, self._key_prefix)
        except KeyRefused as refused:
            return self.refuse(sighting, refused.code, str(refused))
        return Settled(sighting, self._route.destination, key, reason=reason, plan=self._plan)

    def refuse(self, sighting: Sighting, code: str, message: str) -> Settled:
        """With the reason why it can't go anywhere."""
        return Settled(sighting, self._route.destination, "", Refusal(code, message), plan=self._plan)
