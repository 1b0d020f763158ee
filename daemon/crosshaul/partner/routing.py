"""Find the target of a request: bucket and key from host and path, operation from method and query."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from crosshaul.partner.errors import ApiError
from crosshaul.partner.raw_request import decode_path

OBJECT_SUBRESOURCES = ("tagging", "acl", "attributes", "retention", "legal-hold", "torrent", "restore")
_ACTIONS = {
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "UploadPartCopy": "PutObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListBuckets": "ListAllMyBuckets",
    "DeleteObjects": "DeleteObject",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a request; ``key`` is empty for a bucket, ``bucket`` for the service."""

    operation: str
    bucket: str
    key: str
    query: Mapping[str, str]
    service: str = "s3"

    @property
    def part(self) -> int | None:
        """The part number of an UploadPart; None for other operations."""
        number = self.query.get("partNumber", "")
        return int(number) if number.isdigit() else None

    @property
    def action(self) -> str:
        """The IAM action that the operation needs first."""
        return f"{self.service}:{_ACTIONS.get(self.operation, self.operation)}"

    @property
    def resource(self) -> str:
        """The ARN that the action applies to."""
        return f"arn:aws:s3:::{self.bucket}/{self.key}" if self.key else f"arn:aws:s3:::{self.bucket or '*'}"


def split(host: str, path: str, endpoint_host: str) -> tuple[str, str]:
    """Find bucket and key in Host header and path; raises ApiError (InvalidURI) for a path that is not UTF-8."""
    try:
        decoded = decode_path(path).decode()
    except UnicodeDecodeError:
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidURI", "Couldn't parse the specified URI.") from None
    bucket = _virtual_bucket(host, endpoint_host)
    if bucket:
        return bucket, decoded[1:]
    bucket, _, key = decoded[1:].partition("/")
    return bucket, key


def _virtual_bucket(host: str, endpoint_host: str) -> str:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name == endpoint_host or _is_address(name.strip("[]")):
        return ""
    if name.endswith("." + endpoint_host):
        return name.removesuffix("." + endpoint_host)
    if name.endswith(".amazonaws.com"):
        return name.rpartition(".s3.")[0]
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def s3_operation(method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Find the S3 operation; raises ApiError (MethodNotAllowed) when there is none."""
    name = _object_operation(method, query, headers) if key else _bucket_operation(method, bucket, query)
    if name is None:
        message = "The specified method is not allowed against this resource."
        raise ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    return name


def _object_operation(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
    verb = {"PUT": "Put", "GET": "Get", "HEAD": "Head", "DELETE": "Delete", "POST": "Post"}.get(method)
    for name in OBJECT_SUBRESOURCES:
        if name in query:
            return f"{verb}Object{name.title().replace('-', '')}"
    if "uploadId" in query:
        copy = "Copy" if "x-amz-copy-source" in headers else ""
        return {
            "PUT": f"UploadPart{copy}",
            "GET": "ListParts",
            "DELETE": "AbortMultipartUpload",
            "POST": "CompleteMultipartUpload",
        }.get(method)
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else None
    return "CopyObject" if verb == "Put" and "x-amz-copy-source" in headers else f"{verb}Object" if verb else None


def _bucket_operation(method: str, bucket: str, query: Mapping[str, str]) -> str | None:
    if not bucket:
        return "ListBuckets" if method == "GET" else None
    if method == "GET":
        if "location" in query:
            return "GetBucketLocation"
        if "uploads" in query:
            return "ListMultipartUploads"
        if "policy" in query:
            return "GetBucketPolicy"
        return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    return {"HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}.get(method)
