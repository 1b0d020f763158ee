"""A destination: the partner's bucket, and the way in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from crosshaul.config.place import place_at
from crosshaul.config.rules import (
    AWS_SHORTEST_SESSION,
    check_arn,
    check_arn_region,
    check_bucket,
    check_external_id,
    check_key_id,
    check_metadata,
    check_session_tags,
    check_storage_class,
    check_tags,
    session_name,
)
from crosshaul.config.secret import one_of_two, read_secrets
from crosshaul.config.types import (
    AbsolutePath,
    Flag,
    Label,
    OptionalUrl,
    Region,
    Section,
    Text,
    Whole,
    absolute,
    scalar_schema,
)
from crosshaul.model import Place


def _secrets(value: object) -> object:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _checked(secret: SecretStr) -> SecretStr:
    check_external_id(secret.get_secret_value())
    return secret


def _policy(value: object) -> object:
    if isinstance(value, str) and value not in {"auto", "none"}:
        if not value.startswith("/"):
            raise ValueError(f"{value!r} is no session policy; write auto, none or the absolute path of a JSON file")
        return absolute(Path(value))
    return value


_SECRET_SCHEMA = {"type": ["string", "integer"]}
Secret = Annotated[SecretStr, AfterValidator(_checked)]
Secrets = Annotated[
    tuple[Secret, ...],
    BeforeValidator(_secrets),
    WithJsonSchema({"anyOf": [_SECRET_SCHEMA, {"type": "array", "items": _SECRET_SCHEMA}, {"type": "null"}]}),
]
SessionPolicy = Annotated[Literal["auto", "none"] | Path, BeforeValidator(_policy), scalar_schema(type="string")]
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
Owner = Annotated[Text | None, WithJsonSchema({"type": ["string", "integer", "null"]})]


class Destination(Section):
    """The partner's bucket. Names and meanings are AWS's own wherever AWS has one."""

    name: Label
    """The key under ``destinations``."""
    bucket: Annotated[Text, AfterValidator(check_bucket)] = Field(examples=["partner-bucket"])
    """The bucket's name. Dots in it mean path-style addressing over TLS."""
    endpoint_url: OptionalUrl = None
    """Where S3 is, for compatible stores; null = AWS."""
    region: Region = "us-east-1"
    """The bucket's region; where it is left out, identity.region."""
    key_prefix: Text = ""
    """What every key begins with; a '/' is added where its end has none."""
    role_arn: Text | None = None
    """The role in Account B to assume; null = Account A's credentials are used as they are."""
    external_id: Secrets = ()
    """What the role's trust policy demands; a list is tried in order, for a rotation."""
    external_id_file: AbsolutePath | None = None
    """A file with the external IDs, one per line, read at each AssumeRole."""
    role_session_name: Annotated[Text, AfterValidator(session_name)] = Field(
        "crosshaul-{hostname}", validate_default=True
    )
    """The session's name in Account B's CloudTrail."""
    source_identity: Annotated[Text, AfterValidator(session_name)] | None = None
    """Who the session is of, in Account B's CloudTrail and for as long as the session lives; may hold {hostname}. The
    trust policy then has to allow sts:SetSourceIdentity."""
    session_tags: Annotated[dict[str, Text], AfterValidator(check_session_tags)] = Field({})
    """Tags of the session, for Account B's CloudTrail and conditions; values may hold {hostname}. The trust policy then
    has to allow sts:TagSession."""
    duration_seconds: Whole = Field(3600, ge=1, le=43200)
    """How long a session lives, in seconds."""
    session_policy: SessionPolicy = "auto"
    """``auto`` narrows each session to put and get under key_prefix; ``none``; or the path of a JSON policy."""
    expected_bucket_owner: Owner = Field("auto", validate_default=True)
    """The account that must own the bucket: 12 digits, ``auto`` = the one in role_arn, or ``none``."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Whether the bucket stands in the path or in the host name."""
    server_side_encryption: Encryption | None = None
    """Encryption to ask for; null = the bucket's own default."""
    ssekms_key_id: Text | None = None
    """The full ARN of Account B's KMS key."""
    bucket_key_enabled: Flag | None = None
    """Whether to use an S3 Bucket Key with aws:kms; null = the bucket's own default."""
    storage_class: Text | None = None
    """The storage class; null = STANDARD."""
    acl: Acl | None = None
    """A canned ACL; never sent unless asked for, since it breaks uploads to buckets that enforce their owner."""
    tags: Annotated[dict[str, Text], AfterValidator(check_tags)] = Field({})
    """Up to ten object tags; the role then also needs s3:PutObjectTagging."""
    metadata: Annotated[dict[str, Text], AfterValidator(check_metadata)] = Field({})
    """User metadata of every object, names without x-amz-meta-."""
    tls_ca_bundle: AbsolutePath | None = None
    """A PEM file of the certificate authorities to trust instead of the system's."""

    @property
    def place(self) -> Place:
        """Where its objects lie."""
        return place_at(self.endpoint_url, self.region, self.bucket)

    def external_ids(self) -> tuple[str, ...]:
        """The external IDs to try in order, the file read anew; () = none. ConfigError if the file can't serve."""
        if self.external_id_file is None:
            return tuple(secret.get_secret_value() for secret in self.external_id)
        place = f"destinations.{self.name}.external_id_file"
        return read_secrets(self.external_id_file, place, "external ID", check_external_id)

    @field_validator("key_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        segments = value.removesuffix("/").split("/")
        if value and not {"", ".", ".."}.isdisjoint(segments):
            clean = "/".join(segment for segment in segments if segment not in {"", ".", ".."})
            raise ValueError(f"{value!r} begins with '/' or holds a '//', '.' or '..' segment; write {clean + '/'!r}")
        return value if not value or value.endswith("/") else f"{value}/"

    @field_validator("role_arn")
    @classmethod
    def _role(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_arn(value, custom=bool(info.context and info.context["custom_sts"]))
            if info.data.get("endpoint_url", ...) is None:
                check_arn_region(value, info.data.get("region"))
        return value

    @field_validator("external_id", "external_id_file", "session_policy", "source_identity", "session_tags")
    @classmethod
    def _of_a_role(cls, value: object, info: ValidationInfo) -> object:
        if value not in ((), None, "auto", "none", {}) and info.data.get("role_arn", ...) is None:
            raise ValueError("it means nothing without role_arn; add role_arn, or remove it")
        return value

    @field_validator("external_id_file")
    @classmethod
    def _one_secret(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return one_of_two(value, info, "external_id")

    @field_validator("duration_seconds")
    @classmethod
    def _duration(cls, value: int, info: ValidationInfo) -> int:
        if value < AWS_SHORTEST_SESSION and info.context and not info.context["custom_sts"]:
            raise ValueError(
                f"{value} is too short for AWS; write 900 to 43200 (3600 at most where A's own role is assumed)"
            )
        return value

    @field_validator("expected_bucket_owner")
    @classmethod
    def _owner(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value == "auto":
            owner = (info.data.get("role_arn") or "::::").split(":")[4]
            return owner if re.fullmatch(r"[0-9]{12}", owner) else None
        if value is None or value == "none":
            return None
        if not re.fullmatch(r"[0-9]{12}", value):
            raise ValueError(f"{value!r} is not an account; write its 12 digits, auto or none")
        return value

    @field_validator("addressing_style")
    @classmethod
    def _style(cls, value: str, info: ValidationInfo) -> str:
        over_tls = not (info.data.get("endpoint_url") or "https:").startswith("http:")
        if value == "virtual" and over_tls and "." in info.data.get("bucket", ""):
            raise ValueError("no certificate covers a bucket name with dots as a host; write auto or path")
        return value

    @field_validator("ssekms_key_id")
    @classmethod
    def _kms_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not (info.data.get("server_side_encryption", "aws:kms") or "").startswith("aws:kms"):
            raise ValueError("it needs server_side_encryption: aws:kms or aws:kms:dsse; add that, or remove it")
        check_key_id(value, custom=info.data.get("endpoint_url", "") is not None, region=info.data.get("region"))
        return value

    @field_validator("bucket_key_enabled")
    @classmethod
    def _bucket_key(cls, value: Flag | None, info: ValidationInfo) -> Flag | None:
        if value is not None and info.data.get("server_side_encryption", "aws:kms") != "aws:kms":
            raise ValueError("it needs server_side_encryption: aws:kms; add that, or remove it")
        return value

    @field_validator("storage_class")
    @classmethod
    def _class(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_storage_class(value, custom=info.data.get("endpoint_url", "") is not None)
        return value
