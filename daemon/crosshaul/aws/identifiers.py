"""The names that a store gives to requests, versions and uploads. Bounded: they are kept with each file. Pure."""

from __future__ import annotations

from crosshaul.display import printable

LONGEST_REQUEST_ID = 128
LONGEST = 1024
"""Characters of a version id (S3's own limit), an upload id or an ETag."""


def request_id(given: object) -> str | None:
    """Return the request id as one printable line, cut where it is longer than any that a person could use."""
    return printable(str(given)[:LONGEST_REQUEST_ID])[:LONGEST_REQUEST_ID] if given else None


def version_id(given: object) -> str | None:
    """Return the version id; None for one that is longer than S3's can be, which names nothing when it is cut."""
    return str(given) if given and len(str(given)) <= LONGEST else None
