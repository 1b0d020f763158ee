"""Parse, check and authorize the object attributes in the headers of a write."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from crosshaul.partner.access import allow
from crosshaul.partner.errors import ApiError, invalid_argument, not_implemented
from crosshaul.partner.exchange import Exchange
from crosshaul.partner.raw_request import query_values
from crosshaul.partner.store import Attributes, Encryption

_CONTENT = ("content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires")
_META = "x-amz-meta-"
_SSE = "x-amz-server-side-encryption"
_MAX_METADATA_BYTES = 2048
_MAX_KEY_BYTES = 1024
_MAX_TAGS = 10
_STORAGE_CLASSES = {
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "GLACIER_IR",
    "DEEP_ARCHIVE", "EXPRESS_ONEZONE",
}  # fmt: skip


def check_key(key: str) -> None:
    """Raise ApiError (KeyTooLongError) for a key of over 1,024 bytes of UTF-8."""
    size = len(key.encode())
    if size > _MAX_KEY_BYTES:
        details = {"Size": str(size), "MaxSizeAllowed": str(_MAX_KEY_BYTES)}
        raise ApiError(HTTPStatus.BAD_REQUEST, "KeyTooLongError", "Your key is too long", details)


def read(exchange: Exchange) -> Attributes:
    """Parse the attributes of the object to write; raises ApiError."""
    headers = exchange.headers
    check_key(exchange.target.key)
    return Attributes(
        content=_content(headers),
        metadata=_metadata(headers),
        tags=_tags(exchange),
        storage_class=_storage_class(headers),
        encryption=_encryption(exchange),
        acl=_acl(exchange),
    )


def _content(headers: Mapping[str, str]) -> dict[str, str]:
    content = {name: headers[name] for name in _CONTENT if name in headers}
    content.setdefault("content-type", "binary/octet-stream")
    encodings = [name.strip() for name in content.pop("content-encoding", "").split(",")]
    stored = ",".join(name for name in encodings if name not in {"aws-chunked", ""})
    return {**content, "content-encoding": stored} if stored else content


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    size = sum(len((name + value).encode("utf-8", "surrogateescape")) for name, value in metadata.items())
    if size > _MAX_METADATA_BYTES:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        details = {"Size": str(size), "MaxSizeAllowed": str(_MAX_METADATA_BYTES)}
        raise ApiError(HTTPStatus.BAD_REQUEST, "MetadataTooLarge", message, details)
    return metadata


def _tags(exchange: Exchange) -> dict[str, str]:
    text = exchange.headers.get("x-amz-tagging")
    if not text:
        return {}
    allow(exchange, "s3:PutObjectTagging")
    tags = query_values(text)
    if len(tags) > _MAX_TAGS or len(tags) != len(text.split("&")):
        raise ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", "Object tags cannot be greater than 10")
    if any(not 0 < len(name) <= 128 or len(value) > 256 for name, value in tags.items()):  # noqa: PLR2004 - S3's limits
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidTag", "The TagKey or TagValue you have provided is invalid")
    return tags


def _storage_class(headers: Mapping[str, str]) -> str:
    name = headers.get("x-amz-storage-class", "STANDARD")
    if name not in _STORAGE_CLASSES:
        message = "The storage class you specified is not valid"
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidStorageClass", message, {"StorageClassRequested": name})
    return name


def _acl(exchange: Exchange) -> str | None:
    acl = exchange.headers.get("x-amz-acl")
    grants = [name for name in exchange.headers if name.startswith("x-amz-grant-")]
    if acl is None and not grants:
        return None
    allow(exchange, "s3:PutObjectAcl")
    if exchange.settings.object_ownership == "BucketOwnerEnforced" and (acl != "bucket-owner-full-control" or grants):
        raise ApiError(HTTPStatus.BAD_REQUEST, "AccessControlListNotSupported", "The bucket does not allow ACLs")
    return acl or ",".join(grants)


def _encryption(exchange: Exchange) -> Encryption:
    headers, default = exchange.headers, exchange.settings.default_encryption
    mode = headers.get(_SSE)
    key = headers.get(f"{_SSE}-aws-kms-key-id")
    bucket_key = headers.get(f"{_SSE}-bucket-key-enabled", "").lower() == "true"
    if f"{_SSE}-customer-algorithm" in headers:
        raise not_implemented()
    if mode is None and key is None:
        mode, key = ("AES256", None) if default == "AES256" else ("aws:kms", default)
    if mode not in {"AES256", "aws:kms", "aws:kms:dsse"}:
        raise invalid_argument("The encryption method specified is not supported", _SSE, mode or "")
    if mode == "AES256":
        if key is not None:
            message = (
                "Server Side Encryption with AWS KMS managed key requires HTTP header "
                "x-amz-server-side-encryption : aws:kms"
            )
            raise invalid_argument(message, _SSE, mode)
        return Encryption(mode)
    if key is not None:
        _check_kms_key(exchange, key)
    return Encryption(mode, key or _managed_key(exchange), bucket_key)


def _managed_key(exchange: Exchange) -> str:
    return f"arn:aws:kms:{exchange.settings.region}:{exchange.settings.partner_account}:key/aws-s3-managed"


def _check_kms_key(exchange: Exchange, key: str) -> None:
    if key not in exchange.settings.kms_keys:
        name = (
            key
            if key.startswith("arn:")
            else f"arn:aws:kms:{exchange.settings.region}:{exchange.authenticated_caller.account}:key/{key}"
        )
        raise ApiError(HTTPStatus.BAD_REQUEST, "KMS.NotFoundException", f"Key '{name}' does not exist")
    allow(exchange, "kms:GenerateDataKey", key)


def allow_decrypt(exchange: Exchange, encryption: Encryption) -> None:
    """Authorize kms:Decrypt for a customer key, as reads and multipart writes need; raises ApiError (AccessDenied)."""
    if encryption.key in exchange.settings.kms_keys and encryption.key is not None:
        allow(exchange, "kms:Decrypt", encryption.key)
