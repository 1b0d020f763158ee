"""Attributes of an uploaded object (metadata, encryption, ...), as botocore's parameters and as HTTP headers."""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from posixpath import splitext
from typing import Any
from urllib.parse import quote, urlencode

from crosshaul.config import Destination

TOKEN = "crosshaul-token"  # noqa: S105 - a metadata name, not a password
SOURCE = "crosshaul-source"
MTIME = "mtime"
CHECK_KEY = ".crosshaul/check"
"""The key, after the prefix, that a check writes and a probe requests."""

_HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "StorageClass": "x-amz-storage-class",
    "ACL": "x-amz-acl",
    "Tagging": "x-amz-tagging",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
}
_UNKNOWN_TYPE = "application/octet-stream"
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}


class ObjectAttributes:
    """Attributes of one destination's objects; the common ones are computed once."""

    def __init__(self, destination: Destination, source: str = "") -> None:
        """``source``: the sender's ``source_name``; empty for none."""
        parameters = {
            "ServerSideEncryption": destination.server_side_encryption,
            "SSEKMSKeyId": destination.ssekms_key_id,
            "BucketKeyEnabled": destination.bucket_key_enabled,
            "StorageClass": destination.storage_class,
            "ACL": destination.acl,
            "Tagging": urlencode(destination.tags, quote_via=quote) or None,
            "ExpectedBucketOwner": destination.expected_bucket_owner,
        }
        self._fixed = {name: value for name, value in parameters.items() if value is not None}
        self._metadata = {**destination.metadata, **({SOURCE: source} if source else {})}
        self._headers = [
            *((_HEADERS[name], _text(value)) for name, value in self._fixed.items()),
            *((f"x-amz-meta-{name}", value) for name, value in self._metadata.items()),
        ]

    def parameters_of(self, key: str, mtime_ns: int, token: str) -> dict[str, Any]:
        """Return the attributes by botocore's parameter names, without unset ones."""
        metadata = {**self._metadata, TOKEN: token, MTIME: _seconds(mtime_ns)}
        return {**self._fixed, "ContentType": _type_of(key), "Metadata": metadata}

    def headers(self, key: str, mtime_ns: int, token: str) -> list[tuple[str, str]]:
        """Return the attributes as HTTP headers."""
        return [
            *self._headers,
            ("content-type", _type_of(key)),
            (f"x-amz-meta-{TOKEN}", token),
            (f"x-amz-meta-{MTIME}", _seconds(mtime_ns)),
        ]


def _type_of(key: str) -> str:
    """Return the content type of the key's suffix; for a compressed file, the compression's.

    Only the suffix is passed to guess_type, which reads a whole key as a URL: it returns the type of ``data:TYPE,``
    unchecked, line breaks included, and raises for other keys.
    """
    return _type_of_suffix(splitext(key)[1])


@lru_cache(1024)
def _type_of_suffix(suffix: str) -> str:
    type_, encoding = mimetypes.guess_type(f"file{suffix}")
    return _COMPRESSED.get(encoding, _UNKNOWN_TYPE) if encoding else type_ or _UNKNOWN_TYPE


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(mtime_ns: int) -> str:
    """Return seconds with a fraction, in rclone's format; exact, unlike a float."""
    seconds, fraction = divmod(abs(mtime_ns), 1_000_000_000)
    return f"{'-' if mtime_ns < 0 else ''}{seconds}.{fraction:09d}"
