"""ListObjectsV2, HeadBucket, GetBucketLocation, GetBucketPolicy and ListBuckets."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

from crosshaul.partner.errors import ApiError, element, invalid_argument, number
from crosshaul.partner.exchange import Exchange, Response, xml
from crosshaul.partner.store import Bucket, StoredObject

_PAGE = 1000


async def list_objects(exchange: Exchange, bucket: Bucket) -> Response:
    """ListObjectsV2: prefix, delimiter, pages, start-after, encoding-type."""
    query = exchange.target.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = _token(query["continuation-token"]) if "continuation-token" in query else query.get("start-after", "")
    limit = min(number(query, "max-keys", _PAGE), _PAGE)
    names = _names(bucket, prefix, delimiter, after)
    page, more = names[:limit], len(names) > limit
    encode = quote if query.get("encoding-type") == "url" else str
    inner = element("Name", bucket.name) + element("Prefix", encode(prefix)) + element("MaxKeys", limit)
    inner += element("KeyCount", len(page)) + element("IsTruncated", str(more).lower())
    if "encoding-type" in query:
        inner += element("EncodingType", query["encoding-type"])
    if more and page:
        inner += element("NextContinuationToken", base64.urlsafe_b64encode(page[-1].encode()).decode())
    for name in page:
        stored = bucket.objects.get(name)
        folder = bool(delimiter) and delimiter in name[len(prefix) :]
        inner += _listed(stored, encode(name)) if stored and not folder else _folder(encode(name))
    return xml("ListBucketResult", inner)


def _token(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text).decode()
    except ValueError:
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token", text) from None


def _names(bucket: Bucket, prefix: str, delimiter: str, after: str) -> list[str]:
    """Return keys and common prefixes in the order of their bytes."""
    names = set()
    for key in bucket.objects:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            names.add(key if end < 0 else key[: end + len(delimiter)])
    return sorted((name for name in names if name.encode() > after.encode()), key=str.encode)


def _listed(stored: StoredObject, name: str) -> str:
    modified = datetime.fromtimestamp(stored.modified, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    inner = element("Key", name) + element("LastModified", modified) + element("ETag", f'"{stored.etag}"')
    inner += element("Size", stored.size) + element("StorageClass", stored.attributes.storage_class)
    return f"<Contents>{inner}</Contents>"


def _folder(name: str) -> str:
    return f"<CommonPrefixes>{element('Prefix', name)}</CommonPrefixes>"


async def head_bucket(exchange: Exchange, bucket: Bucket) -> Response:
    """HeadBucket."""
    del exchange
    return Response(HTTPStatus.OK, {"x-amz-bucket-region": bucket.region})


async def location(exchange: Exchange, bucket: Bucket) -> Response:
    """GetBucketLocation; us-east-1 is an empty string there."""
    del exchange
    return xml("LocationConstraint", "" if bucket.region == "us-east-1" else bucket.region)


async def policy(exchange: Exchange, bucket: Bucket) -> Response:
    """GetBucketPolicy."""
    document = exchange.settings.bucket_policy if bucket.name == exchange.settings.bucket else None
    if document is None:
        message = "The bucket policy does not exist"
        raise ApiError(HTTPStatus.NOT_FOUND, "NoSuchBucketPolicy", message, {"BucketName": bucket.name})
    return Response(headers={"Content-Type": "application/json"}, body=json.dumps(document).encode())


def list_buckets(exchange: Exchange) -> Response:
    """ListBuckets."""
    inner = "".join(f"<Bucket>{element('Name', name)}</Bucket>" for name in sorted(exchange.state.buckets))
    return xml("ListAllMyBucketsResult", f"<Buckets>{inner}</Buckets>")
