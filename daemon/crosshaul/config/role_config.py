"""The keys of a destination that say which role to assume, and with what session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, WithJsonSchema, field_validator

from crosshaul.config.bucket_config import BucketConfig
from crosshaul.config.rules import (
    AWS_MIN_SESSION_SECONDS,
    check_arn,
    check_arn_region,
    check_external_id,
    check_session_tags,
    session_name,
)
from crosshaul.config.secret import one_of_two, read_secrets
from crosshaul.config.types import AbsolutePath, Text, Whole, absolute, scalar_schema


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
            raise ValueError(f"{value!r} is not a session policy; write auto, none or the absolute path of a JSON file")
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
Owner = Annotated[Text | None, WithJsonSchema({"type": ["string", "integer", "null"]})]


class RoleConfig(BucketConfig):
    """The role of a destination: how its session is obtained and limited."""

    role_arn: Text | None = None
    """The role in Account B to assume. null = use Account A's credentials directly, with access by a bucket policy.

    `arn:aws:iam::222222222222:role/NAME`, or a role in the partitions `aws-cn` and `aws-us-gov`.
    """
    external_id: Secrets = ()
    """The external ID that the role's trust policy requires (`sts:ExternalId`), 2 to 1,224 characters. The entries of a
    list are tried in order, for a rotation: `["${NEW}", "${OLD}"]`.

    Needs `role_arn`.
    """
    external_id_file: AbsolutePath | None = None
    """A file with one external ID per line, instead of `external_id`. It is read at each AssumeRole, so that a rotation
    needs no restart.

    For a systemd credential or a mounted secret.
    """
    role_session_name: Annotated[Text, AfterValidator(session_name)] = Field(
        "crosshaul-{hostname}", validate_default=True
    )
    """The name of the session in Account B's CloudTrail. `{hostname}` is shortened so that the name has at most 64
    characters.
    """
    source_identity: Annotated[Text, AfterValidator(session_name)] | None = None
    """The source identity of the session in Account B's CloudTrail. It may contain `{hostname}`. The trust policy must
    allow sts:SetSourceIdentity.

    `crosshaul policy` adds that permission.
    """
    session_tags: Annotated[dict[str, Text], AfterValidator(check_session_tags)] = Field({})
    """Session tags for Account B's CloudTrail and policy conditions. Values may contain `{hostname}`. The trust policy
    must allow sts:TagSession.

    All routes of a destination share its session.
    """
    duration_seconds: Whole = Field(3600, ge=1, le=43200)
    """The duration of a session in seconds, 900 to 43200. At most 3600 when Account A's credentials come from a role.

    At most the maximum session duration of the role. From 1 with `identity.sts_endpoint_url`.
    """
    session_policy: SessionPolicy = "auto"
    """auto = limit each session to put and get under `key_prefix`; none = no limit; or the path of a JSON policy.

    `auto` also allows KMS, through S3 only.
    """
    expected_bucket_owner: Owner = Field("auto", validate_default=True)
    """The account that must own the bucket: 12 digits, auto = the account in `role_arn`, or none = any."""

    def external_ids(self) -> tuple[str, ...]:
        """Return the external IDs to try in order, from their file if there is one (blocking); () = none.

        Raises ConfigError for an unusable file.
        """
        if self.external_id_file is None:
            return tuple(secret.get_secret_value() for secret in self.external_id)
        place = f"destinations.{self.name}.external_id_file"
        return read_secrets(self.external_id_file, place, "external ID", check_external_id)

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
            raise ValueError("it needs role_arn; add role_arn, or remove it")
        return value

    @field_validator("external_id_file")
    @classmethod
    def _one_secret(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return one_of_two(value, info, "external_id")

    @field_validator("duration_seconds")
    @classmethod
    def _duration(cls, value: int, info: ValidationInfo) -> int:
        if value < AWS_MIN_SESSION_SECONDS and info.context and not info.context["custom_sts"]:
            raise ValueError(
                f"{value} is below the minimum of AWS; write 900 to 43200 (at most 3600 when Account A uses a role)"
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
            raise ValueError(f"{value!r} is not an account id; write 12 digits, auto or none")
        return value
