"""PutObject, GetObject, HeadObject and DeleteObject."""

from __future__ import annotations

import re
from email.header import Header
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus

from crosshaul.partner import attributes, checksums
from crosshaul.partner.access import allow
from crosshaul.partner.body import BodyReader, expected_length
from crosshaul.partner.checksums import ALGORITHMS, DEFAULT, Checksum
from crosshaul.partner.errors import ApiError, access_denied, not_implemented
from crosshaul.partner.exchange import Exchange, Response
from crosshaul.partner.store import Attributes, Bucket, Segment, StoredObject

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def check_write_condition(exchange: Exchange, bucket: Bucket) -> None:
    """Check If-None-Match: * and If-Match of a write; raises ApiError (PreconditionFailed)."""
    current = bucket.objects.get(exchange.target.key)
    none_match, match = exchange.headers.get("if-none-match"), exchange.headers.get("if-match")
    if not (none_match or match) or not _enforces_conditions(exchange):
        return
    if none_match and match:
        raise not_implemented()
    if none_match is not None:
        if none_match.strip('"') != "*":
            raise not_implemented()
        if current is not None:
            raise precondition_failed("If-None-Match")
    if match is not None:
        allow(exchange, "s3:GetObject")
        if current is None:
            raise no_such_key(exchange)
        if match.strip('"') != current.etag:
            raise precondition_failed("If-Match")


def _enforces_conditions(exchange: Exchange) -> bool:
    """True if the store checks conditions of this operation; raises ApiError (NotImplemented) where it has none."""
    conditions = exchange.settings.conditions
    if conditions == "refused":
        raise not_implemented()
    return conditions == "honoured" or (
        conditions != "ignored" and exchange.target.operation != "CompleteMultipartUpload"
    )


def precondition_failed(condition: str) -> ApiError:
    """Build a 412 PreconditionFailed."""
    message = "At least one of the pre-conditions you specified did not hold"
    return ApiError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed", message, {"Condition": condition})


def no_such_key(exchange: Exchange) -> ApiError:
    """Build a 404 NoSuchKey, or a 403 AccessDenied for callers without s3:ListBucket."""
    try:
        allow(exchange, "s3:ListBucket", f"arn:aws:s3:::{exchange.target.bucket}")
    except ApiError as error:
        return access_denied(error.message)
    message = "The specified key does not exist."
    return ApiError(HTTPStatus.NOT_FOUND, "NoSuchKey", message, {"Key": exchange.target.key})


def commit(
    exchange: Exchange,
    bucket: Bucket,
    segments: tuple[Segment, ...],
    etag: str,
    checksum: Checksum | None,
    described: Attributes,
) -> StoredObject:
    """Store the object in the bucket."""
    key = exchange.target.key
    stored = StoredObject(
        key=key,
        segments=segments,
        size=sum(segment.size for segment in segments),
        etag=etag,
        modified=exchange.state.now(),
        attributes=described,
        checksum=checksum,
        writes=bucket.writes.get(key, 0) + 1,
    )
    bucket.commit(stored)
    return stored


async def put(exchange: Exchange, bucket: Bucket) -> Response:
    """PutObject."""
    expected_length(exchange.headers)
    described = attributes.read(exchange)
    support = exchange.settings.checksums
    declared = checksums.declared(exchange.headers, support)
    check_write_condition(exchange, bucket)
    by_default = ALGORITHMS[DEFAULT] if support == "honoured" else None
    body = await BodyReader(exchange, declared, by_default).read()
    await exchange.fault.before_commit(exchange)
    check_write_condition(exchange, bucket)
    stored = commit(exchange, bucket, (body.segment,), body.etag, body.checksum, described)
    headers = {"ETag": f'"{stored.etag}"', **described.encryption.headers()}
    if stored.checksum:
        headers |= stored.checksum.headers()
    return Response(headers=headers)


async def get(exchange: Exchange, bucket: Bucket) -> Response:
    """GetObject and HeadObject."""
    stored = bucket.objects.get(exchange.target.key)
    if stored is None:
        raise no_such_key(exchange)
    attributes.allow_decrypt(exchange, stored.attributes.encryption)
    _check_read_condition(exchange, stored)
    headers = _object_headers(exchange, stored)
    span = _range(exchange.headers.get("range"), stored.size)
    if span is None:
        headers |= _checksum_headers(exchange, stored)
        start, length, status = 0, stored.size, HTTPStatus.OK
    else:
        start, length = span
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{stored.size}"
    exchange.payload_bytes = length if exchange.raw.method == "GET" else 0
    return Response(status, headers, source=(stored, start, length))


def _checksum_headers(exchange: Exchange, stored: StoredObject) -> dict[str, str]:
    wanted = exchange.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    return stored.checksum.headers() if wanted and stored.checksum else {}


def _object_headers(exchange: Exchange, stored: StoredObject) -> dict[str, str]:
    headers = {
        "ETag": f'"{stored.etag}"',
        "Last-Modified": formatdate(int(stored.modified), usegmt=True),
        "Accept-Ranges": "bytes",
        **stored.attributes.headers(),
        **{f"x-amz-meta-{name}": _header_text(value) for name, value in stored.metadata.items()},
    }
    if stored.tags:
        headers["x-amz-tagging-count"] = str(len(stored.tags))
    for name, value in exchange.target.query.items():
        if name.startswith("response-") and name.removeprefix("response-") in {
            "content-type", "content-disposition", "content-encoding", "content-language", "cache-control", "expires",
        }:  # fmt: skip
            headers[name.removeprefix("response-")] = value
    return headers


def _header_text(value: str) -> str:
    return value if value.isascii() else Header(value.encode("utf-8", "surrogateescape"), "utf-8", 1 << 16).encode()


def _check_read_condition(exchange: Exchange, stored: StoredObject) -> None:
    headers = exchange.headers
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and match.strip('"') not in {stored.etag, "*"}:
        raise precondition_failed("If-Match")
    if match is None and _changed_since(stored, headers.get("if-unmodified-since")) is True:
        raise precondition_failed("If-Unmodified-Since")
    if none_match is not None:
        unchanged = none_match.strip('"') in {stored.etag, "*"}
    else:
        unchanged = _changed_since(stored, headers.get("if-modified-since")) is False
    if unchanged:
        raise ApiError(HTTPStatus.NOT_MODIFIED, "NotModified", "Not Modified", headers={"ETag": f'"{stored.etag}"'})


def _changed_since(stored: StoredObject, date: str | None) -> bool | None:
    if date is None:
        return None
    try:
        return int(stored.modified) > parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size - 1
    else:
        start, end = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None
    if start >= size or end < start:
        raise ApiError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The requested range is not satisfiable",
            {"RangeRequested": header or "", "ActualObjectSize": str(size)},
            {"Content-Range": f"bytes */{size}"},
        )
    return start, end - start + 1


async def delete(exchange: Exchange, bucket: Bucket) -> Response:
    """DeleteObject."""
    bucket.objects.pop(exchange.target.key, None)
    return Response(HTTPStatus.NO_CONTENT)
