"""Bound the identifiers that a store returns (request, version, upload), which the journal keeps per file. Pure."""

from __future__ import annotations

from crosshaul.display import printable

MAX_REQUEST_ID_CHARACTERS = 128
MAX_CHARACTERS = 1024
"""Limit of a version id (S3's own), an upload id or an ETag."""


def request_id(given: object) -> str | None:
    """Return the request id as one printable line, truncated to ``MAX_REQUEST_ID_CHARACTERS``."""
    return printable(str(given)[:MAX_REQUEST_ID_CHARACTERS])[:MAX_REQUEST_ID_CHARACTERS] if given else None


def version_id(given: object) -> str | None:
    """Return the version id; None if it is longer than S3's limit, since a truncated one names no version."""
    return str(given) if given and len(str(given)) <= MAX_CHARACTERS else None
