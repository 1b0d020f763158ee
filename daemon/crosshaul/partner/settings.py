"""Settings of a partner account. The defaults are a typical cross-account setup."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from crosshaul.partner.policy import Document

Checksums = Literal["honoured", "crc32 only", "ignored"]
Unsigned = Literal["accepted", "InvalidRequest", "AccessDenied", "SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"]
Conditions = Literal["honoured", "ignored", "ignored at complete", "refused"]
_VERSION = "2012-10-17"


def statement(actions: list[str], resource: str | list[str], **more: object) -> dict[str, Any]:
    """Build an Allow statement."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def document(*statements: Mapping[str, Any]) -> Document:
    """Build a policy document."""
    return {"Version": _VERSION, "Statement": list(statements)}


def _access_key_id() -> str:
    return "AKIA" + secrets.token_hex(8).upper()


@dataclass(slots=True, kw_only=True)
class Settings:
    """All settings of a partner account; policies that are None are derived from the other settings."""

    host: str = "127.0.0.1"
    port: int = 0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    spool: Path | None = None
    """The directory of object bodies; None = a temporary one."""
    region: str = "us-east-1"
    endpoint_host: str = "localhost"
    """The name that virtual-host style puts the bucket in front of, besides AWS's own."""

    user_account: str = "111111111111"
    user_name: str = "crosshaul"
    access_key_id: str = field(default_factory=_access_key_id)
    secret_access_key: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)
    user_policy: Document | None = None
    """Account A's identity policy; by default sts:AssumeRole on the role and nothing else."""

    partner_account: str = "222222222222"
    role_name: str = "partner-upload"
    role_exists: bool = True
    external_id: str | None = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """The external ID that the default trust policy requires; None = none."""
    trust_policy: Document | None = None
    role_policy: Document | None = None
    """By default s3:PutObject and s3:GetObject on the bucket's objects, and ``role_actions`` on the bucket."""
    role_actions: tuple[str, ...] = ()
    """Further actions of the default role policy, such as ``s3:ListBucket`` or ``kms:Decrypt``."""
    max_session_seconds: int = 3600
    session_seconds: float | None = None
    """The lifetime of sessions in seconds, whatever is requested; Expiration in the response is correct."""
    role_chaining: bool = False
    """True if sessions are limited to an hour, as when the base credentials are a role's."""

    bucket: str = "partner-inbox"
    bucket_policy: Document | None = None
    other_buckets: dict[str, str] = field(
        default_factory=lambda: {"partner-other": "us-east-1", "partner-eu": "eu-west-1"}
    )
    """Further buckets of the partner, with their regions; the role may use none of them by default."""
    object_ownership: Literal["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"] = "BucketOwnerEnforced"
    kms_keys: tuple[str, ...] = ("arn:aws:kms:us-east-1:222222222222:key/11111111-2222-3333-4444-555555555555",)
    kms_key_policy: Document | None = None
    """The policy of the keys; None leaves access to IAM, like the policy of a key created in the console."""
    default_encryption: str = "AES256"
    """``AES256``, or the ARN of a KMS key: the default encryption of the bucket."""
    checksums: Checksums = "honoured"
    conditions: Conditions = "honoured"
    """Handling of If-None-Match and If-Match in writes. Ceph 16 ignores them in CompleteMultipartUpload only."""
    unsigned: Unsigned = "accepted"
    """Handling of UNSIGNED-PAYLOAD over TLS; stores and policies that refuse it use different codes."""
    complete_repeatable: bool = False
    """True if a repeated CompleteMultipartUpload succeeds like the first one; otherwise it gets NoSuchUpload."""

    clock_skew: float = 0.0
    """Seconds that the account's clock is ahead of the machine's."""
    keepalive_timeout: float = 20.0
    """Seconds after which an idle connection is closed."""
    body_timeout: float = 20.0
    """Seconds without a byte of a request's body after which S3 answers RequestTimeout."""
    calls_kept: int = 100_000

    def __post_init__(self) -> None:
        self.tls_certificate = Path(self.tls_certificate) if self.tls_certificate else None
        self.tls_key = Path(self.tls_key) if self.tls_key else None
        self.spool = Path(self.spool) if self.spool else None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Settings:
        """Build settings from a JSON object; raises ValueError for an unknown name."""
        settings = cls()
        settings.update(values)
        settings.__post_init__()
        return settings

    def update(self, values: Mapping[str, Any]) -> None:
        """Change settings in place; raises ValueError for an unknown name."""
        unknown = values.keys() - {setting.name for setting in fields(self)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def user_arn(self) -> str:
        """The ARN of Account A's user."""
        return f"arn:aws:iam::{self.user_account}:user/{self.user_name}"

    @property
    def role_arn(self) -> str:
        """The ARN of the role in Account B."""
        return f"arn:aws:iam::{self.partner_account}:role/{self.role_name}"

    def user_document(self) -> Document:
        """Return the identity policy of Account A's user."""
        return self.user_policy or document(statement(["sts:AssumeRole"], self.role_arn))

    def trust_document(self) -> Document:
        """Return the trust policy of the role."""
        if self.trust_policy is not None:
            return self.trust_policy
        trust: dict[str, Any] = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{self.user_account}:root"},
            "Action": "sts:AssumeRole",
        }
        if self.external_id is not None:
            trust["Condition"] = {"StringEquals": {"sts:ExternalId": self.external_id}}
        return document(trust)

    def role_document(self) -> Document:
        """Return the permission policy of the role."""
        if self.role_policy is not None:
            return self.role_policy
        bucket = f"arn:aws:s3:::{self.bucket}"
        statements = [statement(["s3:PutObject", "s3:GetObject"], f"{bucket}/*")]
        s3 = [action for action in self.role_actions if action.startswith("s3:")]
        kms = [action for action in self.role_actions if action.startswith("kms:")]
        if s3:
            statements.append(statement(s3, [bucket, f"{bucket}/*"]))
        if kms:
            statements.append(statement(kms, list(self.kms_keys)))
        return document(*statements)
