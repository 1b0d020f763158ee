"""A destination: a partner's bucket, the role to assume, and the attributes of its objects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from crosshaul.config.role_config import RoleConfig
from crosshaul.config.rules import check_key_id, check_metadata, check_storage_class, check_tags
from crosshaul.config.types import Flag, Text

Encryption = Literal["AES256", "aws:kms", "aws:kms:dsse"]
Acl = Literal[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
]


class Destination(RoleConfig):
    """A partner's bucket. Keys have the names and meanings of the AWS API where there is one."""

    server_side_encryption: Encryption | None = None
    """The encryption to request. null = the default of the bucket."""
    ssekms_key_id: Text | None = None
    """The full ARN of Account B's KMS key, in the region of the bucket: `arn:aws:kms:REGION:ACCOUNT:key/ID`.

    An alias is refused, because S3 looks for it in the caller's account. Needs `server_side_encryption: aws:kms` or
    `aws:kms:dsse`.
    """
    bucket_key_enabled: Flag | None = None
    """Use an S3 Bucket Key. null = the default of the bucket.

    Needs `server_side_encryption: aws:kms`.
    """
    storage_class: Text | None = None
    """The storage class: `STANDARD_IA`, `INTELLIGENT_TIERING`, `GLACIER_IR`, ... null = STANDARD."""
    acl: Acl | None = None
    """A canned ACL such as `bucket-owner-full-control`. null = none, as buckets with enforced ownership (the default of
    AWS) refuse uploads with an ACL.
    """
    tags: Annotated[dict[str, Text], AfterValidator(check_tags)] = Field({})
    """Object tags, at most ten. The role also needs s3:PutObjectTagging."""
    metadata: Annotated[dict[str, Text], AfterValidator(check_metadata)] = Field({})
    """User metadata of all objects: names without `x-amz-meta-`, values in printable ASCII, at most 1,880 bytes.

    `crosshaul-token`, `crosshaul-source` and `mtime` are reserved.
    """

    @field_validator("ssekms_key_id")
    @classmethod
    def _kms_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not (info.data.get("server_side_encryption", "aws:kms") or "").startswith("aws:kms"):
            raise ValueError(
                "it needs server_side_encryption: aws:kms or aws:kms:dsse; add that key, or remove this one"
            )
        check_key_id(value, custom=info.data.get("endpoint_url", "") is not None, region=info.data.get("region"))
        return value

    @field_validator("bucket_key_enabled")
    @classmethod
    def _bucket_key(cls, value: Flag | None, info: ValidationInfo) -> Flag | None:
        if value is not None and info.data.get("server_side_encryption", "aws:kms") != "aws:kms":
            raise ValueError("it needs server_side_encryption: aws:kms; add that key, or remove this one")
        return value

    @field_validator("storage_class")
    @classmethod
    def _class(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_storage_class(value, custom=info.data.get("endpoint_url", "") is not None)
        return value
