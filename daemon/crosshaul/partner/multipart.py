"""Multipart uploads: create, parts, complete, abort, list.

Source: Amazon S3 User Guide, "Multipart upload limits" and "Tutorial: Checking object integrity of multipart uploads".
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from xml.etree import ElementTree as ET

from crosshaul.partner import attributes, checksums, objects
from crosshaul.partner.body import BodyReader, expected_length, read_small_body
from crosshaul.partner.checksums import ALGORITHMS, COMPOSITE, DEFAULT, FULL_OBJECT, Algorithm, Checksum
from crosshaul.partner.errors import ApiError, element, invalid_argument, invalid_request, number
from crosshaul.partner.exchange import Exchange, Response, xml
from crosshaul.partner.store import Bucket, StoredObject, StoredPart, Upload

_MIN_PART_BYTES = 5 * 1024 * 1024
_MAX_PARTS = 10_000
_PAGE = 1000
_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


def upload_of(exchange: Exchange, bucket: Bucket) -> Upload:
    """Find the upload of a request; raises ApiError (NoSuchUpload)."""
    upload = bucket.uploads.get(exchange.target.query.get("uploadId", ""))
    if upload is None or upload.key != exchange.target.key:
        message = (
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
            "or completed."
        )
        details = {"UploadId": exchange.target.query.get("uploadId", "")}
        raise ApiError(HTTPStatus.NOT_FOUND, "NoSuchUpload", message, details)
    return upload


async def create(exchange: Exchange, bucket: Bucket) -> Response:
    """CreateMultipartUpload."""
    described = attributes.read(exchange)
    attributes.allow_decrypt(exchange, described.encryption)
    algorithm, kind = _requested_checksum(exchange)
    upload_id = secrets.token_urlsafe(64)
    upload = Upload(upload_id, exchange.target.key, described, algorithm, kind, exchange.state.now())
    bucket.uploads[upload_id] = upload
    headers = described.encryption.headers()
    if algorithm:
        headers |= {"x-amz-checksum-algorithm": algorithm.name.upper(), "x-amz-checksum-type": kind}
    inner = element("Bucket", bucket.name) + element("Key", upload.key) + element("UploadId", upload_id)
    return xml("InitiateMultipartUploadResult", inner, headers)


def _requested_checksum(exchange: Exchange) -> tuple[Algorithm | None, str]:
    name = exchange.headers.get("x-amz-checksum-algorithm")
    kind = exchange.headers.get("x-amz-checksum-type")
    support = exchange.settings.checksums
    if support == "ignored":
        return None, FULL_OBJECT
    if name is None:
        if kind is not None:
            message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            raise invalid_request(message)
        return None, FULL_OBJECT
    algorithm = ALGORITHMS.get(name.lower())
    if algorithm is None or (support == "crc32 only" and algorithm.name != "crc32"):
        raise invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types"
        )
    if kind is not None and kind not in algorithm.types:
        raise invalid_request(f"The {kind} checksum type cannot be used with the {algorithm.name} checksum algorithm.")
    return algorithm, kind or algorithm.types[0]


async def put_part(exchange: Exchange, bucket: Bucket) -> Response:
    """UploadPart."""
    number = exchange.target.part
    if number is None or not 1 <= number <= _MAX_PARTS:
        message = "Part number must be an integer between 1 and 10000, inclusive"
        raise invalid_argument(message, "partNumber", exchange.target.query.get("partNumber", ""))
    expected_length(exchange.headers)
    upload = upload_of(exchange, bucket)
    attributes.allow_decrypt(exchange, upload.attributes.encryption)
    declared = checksums.declared(exchange.headers, exchange.settings.checksums)
    if declared and declared.algorithm is not upload.algorithm:
        raise _checksum_type_mismatch(upload, declared.algorithm)
    by_default = ALGORITHMS[DEFAULT] if exchange.settings.checksums == "honoured" else None
    body = await BodyReader(exchange, declared, upload.algorithm or by_default).read()
    upload_of(exchange, bucket)
    part = StoredPart(number, body.segment, body.md5, body.etag, body.checksum, exchange.state.now())
    upload.parts[number] = part
    headers = {"ETag": f'"{part.etag}"', **upload.attributes.encryption.headers()}
    if upload.algorithm and part.checksum:
        headers[part.checksum.algorithm.header] = part.checksum.value
    return Response(headers=headers)


def _checksum_type_mismatch(upload: Upload, given: Algorithm) -> ApiError:
    expected = upload.algorithm.name if upload.algorithm else "null"
    return invalid_request(
        f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {given.name}"
    )


@dataclass(frozen=True, slots=True)
class _NamedPart:
    """A part in the document of CompleteMultipartUpload."""

    number: int
    etag: str
    checksums: dict[str, str]


def _malformed() -> ApiError:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return ApiError(HTTPStatus.BAD_REQUEST, "MalformedXML", message)


def _parse(document: bytes) -> list[_NamedPart]:
    try:
        root = ET.fromstring(document)  # noqa: S314 - from an authenticated caller of a test account
    except ET.ParseError:
        raise _malformed() from None
    parts = []
    for part in root:
        fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in part}
        number = fields.pop("PartNumber", "")
        if not number.isdigit() or "ETag" not in fields:
            raise _malformed()
        parts.append(_NamedPart(int(number), fields.pop("ETag").strip('"'), fields))
    if not parts or len(parts) > _MAX_PARTS:
        raise _malformed()
    return parts


def _find_parts(upload: Upload, named: list[_NamedPart]) -> list[StoredPart]:
    """Find the named parts in order; raises ApiError."""
    if any(after.number <= before.number for before, after in itertools.pairwise(named)):
        message = "The list of parts was not in ascending order. Parts must be ordered by part number."
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidPartOrder", message)
    parts = [_find_part(upload, part) for part in named]
    for part in parts[:-1]:
        if part.size < _MIN_PART_BYTES:
            message = "Your proposed upload is smaller than the minimum allowed size"
            details = {"ProposedSize": str(part.size), "MinSizeAllowed": str(_MIN_PART_BYTES)}
            numbers = {"PartNumber": str(part.number), "ETag": part.etag}
            raise ApiError(HTTPStatus.BAD_REQUEST, "EntityTooSmall", message, details | numbers)
    return parts


def _find_part(upload: Upload, named: _NamedPart) -> StoredPart:
    part = upload.parts.get(named.number)
    algorithm = upload.algorithm
    wanted = named.checksums.get(algorithm.element) if algorithm else None
    if algorithm and wanted is None and upload.checksum_type == COMPOSITE:
        raise invalid_request(
            f"The upload was created using a {algorithm.name} checksum. The complete request must include the checksum "
            f"for each part. It was missing for part {named.number} in the request."
        )
    stored = part.checksum.value if part and part.checksum else None
    if part is None or part.etag != named.etag or (wanted is not None and wanted != stored):
        message = (
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
            "specified entity tag may not match the part's entity tag."
        )
        details = {"UploadId": upload.id, "PartNumber": str(named.number), "ETag": named.etag}
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidPart", message, details)
    return part


async def complete(exchange: Exchange, bucket: Bucket) -> Response:
    """CompleteMultipartUpload."""
    repeated = bucket.finished.get(exchange.target.query.get("uploadId", ""))
    document = await read_small_body(exchange, _MAX_DOCUMENT_BYTES)
    await exchange.fault.before_commit(exchange)
    if repeated is not None and exchange.settings.complete_repeatable:
        return _completed(bucket, repeated)
    upload = upload_of(exchange, bucket)
    attributes.allow_decrypt(exchange, upload.attributes.encryption)
    parts = _find_parts(upload, _parse(document))
    objects.check_write_condition(exchange, bucket)
    checksum = _object_checksum(upload, parts)
    _check_whole(exchange, upload, checksum, sum(part.size for part in parts))
    digest = hashlib.md5(b"".join(part.md5 for part in parts), usedforsecurity=False).hexdigest()
    segments = tuple(part.segment for part in parts)
    stored = objects.commit(exchange, bucket, segments, f"{digest}-{len(parts)}", checksum, upload.attributes)
    del bucket.uploads[upload.id]
    bucket.finished[upload.id] = stored
    return _completed(bucket, stored)


def _object_checksum(upload: Upload, parts: list[StoredPart]) -> Checksum | None:
    algorithm = upload.algorithm or ALGORITHMS[DEFAULT]
    values = [
        (part.checksum.value, part.size) for part in parts if part.checksum and part.checksum.algorithm is algorithm
    ]
    return checksums.of_parts(algorithm, upload.checksum_type, values) if len(values) == len(parts) else None


def _check_whole(exchange: Exchange, upload: Upload, computed: Checksum | None, size: int) -> None:
    claimed_size = exchange.headers.get("x-amz-mp-object-size")
    if claimed_size is not None and claimed_size != str(size):
        message = "The provided 'x-amz-mp-object-size' header value does not match what was computed."
        raise invalid_request(message)
    declared = checksums.declared_whole(exchange.headers, exchange.settings.checksums)
    kind = exchange.headers.get("x-amz-checksum-type")
    if exchange.settings.checksums != "ignored" and kind is not None and kind != upload.checksum_type:
        raise invalid_request(
            f"The upload was created using the {upload.checksum_type} checksum mode. "
            "The complete request must use the same checksum mode."
        )
    if declared is None or computed is None:
        return
    if declared.algorithm is not computed.algorithm:
        raise _checksum_type_mismatch(upload, declared.algorithm)
    if declared.value != computed.value and declared.value != computed.value.partition("-")[0]:
        raise checksums.mismatch(declared.algorithm)


def _completed(bucket: Bucket, stored: StoredObject) -> Response:
    inner = (
        element("Location", f"https://{bucket.name}.s3.{bucket.region}.amazonaws.com/{stored.key}")
        + element("Bucket", bucket.name)
        + element("Key", stored.key)
        + element("ETag", f'"{stored.etag}"')
    )
    if stored.checksum:
        inner += element(stored.checksum.algorithm.element, stored.checksum.value)
        inner += element("ChecksumType", stored.checksum.type)
    return xml("CompleteMultipartUploadResult", inner, stored.attributes.encryption.headers())


async def abort(exchange: Exchange, bucket: Bucket) -> Response:
    """AbortMultipartUpload."""
    del bucket.uploads[upload_of(exchange, bucket).id]
    return Response(HTTPStatus.NO_CONTENT)


async def list_parts(exchange: Exchange, bucket: Bucket) -> Response:
    """ListParts, in pages of up to 1,000."""
    upload = upload_of(exchange, bucket)
    query = exchange.target.query
    marker, limit = number(query, "part-number-marker", 0), min(number(query, "max-parts", _PAGE), _PAGE)
    rest = sorted((part for part in upload.parts.values() if part.number > marker), key=lambda part: part.number)
    page = rest[:limit]
    head = element("Bucket", bucket.name) + element("Key", upload.key) + element("UploadId", upload.id)
    paging = element("MaxParts", limit) + element("IsTruncated", str(len(rest) > limit).lower())
    if page:
        paging += element("NextPartNumberMarker", page[-1].number)
    return xml("ListPartsResult", head + paging + "".join(map(_listed, page)))


def _listed(part: StoredPart) -> str:
    inner = element("PartNumber", part.number) + element("ETag", f'"{part.etag}"') + element("Size", part.size)
    inner += element("LastModified", formatdate(part.modified, usegmt=True))
    if part.checksum:
        inner += element(part.checksum.algorithm.element, part.checksum.value)
    return f"<Part>{inner}</Part>"
