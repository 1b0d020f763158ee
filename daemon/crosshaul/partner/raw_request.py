"""A request as received, and the decoding of its path and query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as received: ``path`` and ``query`` are still encoded; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def query_pairs(query: str) -> list[tuple[bytes, bytes]]:
    """Split and decode a query string into (name, value) pairs, in their order."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(_decode_query(name), _decode_query(value)) for name, _, value in parts]


def _decode_query(text: str) -> bytes:
    return _unquote(text.replace("+", " "))


def _unquote(text: str) -> bytes:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))


def query_values(query: str) -> dict[str, str]:
    """Decode a query string; the first of two equal names wins."""
    values: dict[str, str] = {}
    for name, value in query_pairs(query):
        values.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return values


def decode_path(path: str) -> bytes:
    """Decode a path to bytes; S3 reads a bare plus sign as a space."""
    return _unquote(path.replace("+", " ") if "+" in path else path)
