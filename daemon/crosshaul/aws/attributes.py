"""What an object is to carry besides its bytes, once in botocore's names and once as the wire's headers."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from crosshaul.config import Destination

TOKEN = "crosshaul-token"  # noqa: S105 - a metadata name, not a password
MTIME = "mtime"

_HEADERS = {
    "ContentType": "content-type",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "StorageClass": "x-amz-storage-class",
    "ACL": "x-amz-acl",
    "Tagging": "x-amz-tagging",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "IfNoneMatch": "if-none-match",
}
_UNKNOWN_TYPE = "application/octet-stream"
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}


def of_object(destination: Destination, key: str, mtime_ns: int, token: str) -> dict[str, Any]:
    """The attributes of one object, by botocore's parameter names; what isn't asked for isn't sent."""
    wanted = {
        "ContentType": _type_of(key),
        "ServerSideEncryption": destination.server_side_encryption,
        "SSEKMSKeyId": destination.ssekms_key_id,
        "BucketKeyEnabled": destination.bucket_key_enabled,
        "StorageClass": destination.storage_class,
        "ACL": destination.acl,
        "Tagging": urlencode(destination.tags, quote_via=quote) or None,
        "ExpectedBucketOwner": destination.expected_bucket_owner,
        "Metadata": {**destination.metadata, TOKEN: token, MTIME: _seconds(mtime_ns)},
    }
    return {name: value for name, value in wanted.items() if value is not None}


def as_headers(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same attributes as HTTP headers."""
    headers = [(_HEADERS[name], _text(value)) for name, value in attributes.items() if name != "Metadata"]
    metadata: Mapping[str, str] = attributes.get("Metadata", {})
    headers += [(f"x-amz-meta-{name}", value) for name, value in metadata.items()]
    return headers


def _type_of(key: str) -> str:
    """The type that the key's suffix stands for; of a compressed file, the compression's.

    Only the suffix is looked up: guess_type reads a whole key as a URL, takes ``data:TYPE,`` at its word, line breaks
    and all, and raises at other keys.
    """
    type_, encoding = mimetypes.guess_type(f"file{PurePosixPath(key).suffix}")
    return _COMPRESSED.get(encoding, _UNKNOWN_TYPE) if encoding else type_ or _UNKNOWN_TYPE


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(mtime_ns: int) -> str:
    """Seconds with a fraction, as rclone reads and writes them; exact, which a float would not be."""
    seconds, fraction = divmod(abs(mtime_ns), 1_000_000_000)
    return f"{'-' if mtime_ns < 0 else ''}{seconds}.{fraction:09d}"
