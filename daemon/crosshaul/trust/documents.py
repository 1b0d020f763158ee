"""Build the policy documents that the admins of both accounts have to apply for one destination, with reasons. Pure.

Sources: IAM user guide, "The confused deputy problem", "Policies and permissions"; S3 user guide, "Required permissions
for Amazon S3 API operations", "Multipart upload API and permissions", "Enforce conditional writes on Amazon S3
buckets"; KMS developer guide, "kms:ViaService".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crosshaul.aws.object_headers import CHECK_KEY
from crosshaul.aws.session_policy import objects_of, partition_of
from crosshaul.config import Destination
from crosshaul.trust.findings import Party

_VERSION = "2012-10-17"
_IDENTITY = re.compile(
    r"arn:(aws(?:-[a-z]+)*):(?:iam::[0-9]{12}:(?:root|(?:user|role)/[\x21-\x7e]+)"
    r"|sts::[0-9]{12}:(?:assumed-role/[^/\s]+/[^\s]+|federated-user/[^\s]+))"
)
_ANY_IDENTITY = re.compile(r"arn:([^:\s]*):[^:\s]*:[^:\s]*:[^:\s]*:[^\s]+")
_SESSION = re.compile(r"arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.*")
_UNFINISHED_DAYS = 7


@dataclass(frozen=True, slots=True)
class Variable:
    """A placeholder in a document for an unknown or secret value."""

    name: str
    """In snake case, such as ``external_id``."""
    description: str
    """For the person who sets the value."""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """A policy statement and its reason."""

    sid: str
    reason: str
    body: dict[str, Any]

    def as_policy(self) -> dict[str, Any]:
        """Return the statement in IAM's form."""
        return {"Sid": self.sid, **self.body}


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A policy document, the party that applies it, and its reason."""

    name: str
    """A stable name, such as ``role-policy``."""
    party: Party
    reason: str
    statements: tuple[Statement, ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    """The rules of a lifecycle configuration."""

    def content(self) -> dict[str, Any]:
        """Return the document in the form of AWS's API."""
        if self.rules:
            return {"Rules": list(self.rules)}
        return {"Version": _VERSION, "Statement": [statement.as_policy() for statement in self.statements]}


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """The input of the policy documents of a destination."""

    destination: Destination
    principal: str | Variable
    """Account A's identity: the ARN of a user or role, or of an account's root."""
    external_ids: tuple[str | Variable, ...] = ()
    optional: bool = False
    """True to include the optional permissions: AbortMultipartUpload, ListMultipartUploadParts."""
    kms_key: str | None = None
    """The ARN of the bucket's default encryption key."""
    never_overwrites: bool = False
    """True if all routes to the destination have ``overwrite: never``."""
    overwritten: tuple[str, ...] = ()
    """Resources of other destinations in this bucket that the same role may overwrite."""

    @property
    def key(self) -> str | None:
        """The ARN of the encryption key of the objects; None = unknown."""
        return self.destination.ssekms_key_id or self.kms_key

    @property
    def partition(self) -> str:
        """The AWS partition: ``aws``, ``aws-cn``, ``aws-us-gov``."""
        return partition_of(self.destination)

    @property
    def bucket(self) -> str:
        """The ARN of the bucket."""
        return f"arn:{self.partition}:s3:::{self.destination.bucket}"

    @property
    def objects(self) -> str:
        """All keys that Crosshaul may write, as a resource."""
        return objects_of(self.destination)


def principal_of(arn: str, partition: str, *, custom: bool) -> str:
    """Return the principal for an identity: the role of a session, the root of an account.

    The ARN of a session does not contain the path of its role, so a role with a path must be given by its own ARN.
    ``custom`` stores have their own ARNs. Raises ValueError, with what to write, for an invalid principal.
    """
    if re.fullmatch(r"[0-9]{12}", arn):
        return f"arn:{partition}:iam::{arn}:root"
    match = (_ANY_IDENTITY if custom else _IDENTITY).fullmatch(arn)
    if match is None:
        raise ValueError(f"{arn!r} is not an identity; write the 12 digits of an account, or the ARN of a user or role")
    if not custom and match[1] != partition:
        raise ValueError(
            f"{arn} is in partition {match[1]}, the role or bucket in {partition}; write an identity in {partition}"
        )
    session = _SESSION.fullmatch(arn)
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn


def policy_documents(request: PolicyRequest) -> list[PolicyDocument]:
    """Build all documents of a destination, Account A's first."""
    if request.destination.role_arn is None:
        return [*_direct(request), _lifecycle(request)]
    documents = [_identity_policy(request), _trust_policy(request), _role_policy(request)]
    documents += [_key_policy(request, request.destination.role_arn)] if request.key else []
    return [*documents, _bucket_policy(request, ()), _lifecycle(request)]


def _allow(actions: str | list[str], resource: str | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    body: dict[str, Any] = {"Effect": "Allow", "Action": actions, **more}
    return body | ({"Resource": resource} if resource else {})


def _identity_policy(request: PolicyRequest) -> PolicyDocument:
    role = request.destination.role_arn
    reason = "Account A's credentials need only this permission, so that stolen ones can do nothing else."
    statements = [Statement("AssumeTheRole", reason, _allow("sts:AssumeRole", role))]
    if request.destination.source_identity:
        reason = "The session has a source identity, for Account B's CloudTrail (source_identity)."
        statements.append(Statement("NameTheHost", reason, _allow("sts:SetSourceIdentity", role)))
    if request.destination.session_tags:
        reason = "The session has tags (session_tags)."
        statements.append(Statement("TagTheSession", reason, _allow("sts:TagSession", role)))
    return PolicyDocument(
        "identity-policy", Party.A, "Identity policy of the user or role that Crosshaul runs as.", tuple(statements)
    )


def _trust_policy(request: PolicyRequest) -> PolicyDocument:
    to, principal = request.destination, {"Principal": {"AWS": request.principal}}
    ids = list(request.external_ids)
    agreed = {"StringEquals": {"sts:ExternalId": ids[0] if len(ids) == 1 else ids}}
    reason = (
        "Only Account A's identity can assume the role, and only with the external ID (against the confused deputy)."
    )
    statements = [
        Statement("TrustAccountA", reason, {**_allow("sts:AssumeRole", None), **principal, "Condition": agreed})
    ]
    if to.source_identity:
        named = {"StringEquals": {"sts:SourceIdentity": to.source_identity}}
        body = {**_allow("sts:SetSourceIdentity", None), **principal, "Condition": named}
        statements.append(Statement("LetTheHostBeNamed", "CloudTrail shows the source identity of each session.", body))
    if to.session_tags:
        tagged = {"StringEquals": {f"aws:RequestTag/{key}": value for key, value in to.session_tags.items()}}
        body = {**_allow("sts:TagSession", None), **principal, "Condition": tagged}
        statements.append(Statement("LetTheSessionBeTagged", "Sessions can have only these tags.", body))
    return PolicyDocument(
        "trust-policy", Party.B, f"Trust policy of the role {to.role_arn}: who can assume it.", tuple(statements)
    )


def _role_policy(request: PolicyRequest) -> PolicyDocument:
    reason = f"Permission policy of the role {request.destination.role_arn}: what it can do."
    return PolicyDocument("role-policy", Party.B, reason, tuple(_rights(request)))


def _rights(request: PolicyRequest, **principal: Any) -> Iterator[Statement]:  # noqa: ANN401 - of a bucket policy
    to, objects = request.destination, request.objects
    yield Statement(
        "Upload", "Uploads of any size, multipart uploads included.", _allow("s3:PutObject", objects, **principal)
    )
    reason = "HEAD after an upload whose response was lost, and the download of `crosshaul check`."
    yield Statement("ReadBack", reason, _allow("s3:GetObject", objects, **principal))
    if to.tags:
        yield Statement("Tag", "The objects have tags (tags).", _allow("s3:PutObjectTagging", objects, **principal))
    if to.acl:
        yield Statement("SetAcl", "The objects have an ACL (acl).", _allow("s3:PutObjectAcl", objects, **principal))
    if request.optional:
        reason = "Optional: abandoned multipart uploads are removed at once instead of by the lifecycle rule."
        yield Statement("OptionalAbort", reason, _allow("s3:AbortMultipartUpload", objects, **principal))
        reason = "Optional: for people who inspect a running upload; Crosshaul does not need it."
        yield Statement("OptionalListParts", reason, _allow("s3:ListMultipartUploadParts", objects, **principal))
    if request.key and not principal:
        yield from _key_rights(request, request.key)


def _key_rights(request: PolicyRequest, resource: str, **principal: Any) -> Iterator[Statement]:  # noqa: ANN401 - of a key policy
    service = f"s3.{request.destination.region}.amazonaws.com"
    in_china = request.partition == "aws-cn"
    via = {"StringEquals": {"kms:ViaService": [service, f"{service}.cn"] if in_china else service}}
    reason = "S3 encrypts uploads with this key; only through S3."
    yield Statement("EncryptWithTheKey", reason, _allow("kms:GenerateDataKey", resource, **principal, Condition=via))
    reason = "S3 joins the parts of multipart uploads and decrypts downloads; only through S3."
    yield Statement("JoinPartsWithTheKey", reason, _allow("kms:Decrypt", resource, **principal, Condition=via))


def _key_policy(request: PolicyRequest, principal: str | Variable) -> PolicyDocument:
    reason = (
        f"Add this to the policy of the key {request.key}, unless that policy already leaves access to IAM (a "
        "statement for the root of the account, as in every key created in the console)."
    )
    return PolicyDocument("key-policy", Party.B, reason, tuple(_key_rights(request, "*", Principal={"AWS": principal})))


def _bucket_policy(request: PolicyRequest, rights: tuple[Statement, ...]) -> PolicyDocument:
    deny_all: dict[str, Any] = {"Effect": "Deny", "Principal": "*"}
    both = [request.bucket, f"{request.bucket}/*"]
    plain = {"Action": "s3:*", "Resource": both, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    statements = [*rights, Statement("OnlyOverTls", "Requests without TLS are denied.", deny_all | plain)]
    if mode := request.destination.server_side_encryption:
        # Part uploads have no such header, and a negated condition matches a missing key, even with IfExists.
        header = "s3:x-amz-server-side-encryption"
        other = {"StringNotEquals": {header: mode}, "Null": {header: "false"}}
        body = deny_all | {"Action": "s3:PutObject", "Resource": request.objects, "Condition": other}
        reason = f"Uploads that request another encryption than {mode} are denied; others get the default."
        statements.append(Statement("OnlyThisEncryption", reason, body))
    if request.never_overwrites:
        new = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
        principal = {"Principal": {"AWS": request.destination.role_arn or request.principal}}
        own = f"{request.objects.removesuffix('*')}{CHECK_KEY}"
        free: str | list[str] = [own, *request.overwritten] if request.overwritten else own
        body = {"Effect": "Deny", **principal, "Action": "s3:PutObject", "NotResource": free, "Condition": new}
        reason = (
            "Crosshaul overwrites no object: all routes have `overwrite: never` and send If-None-Match. The object of "
            "`crosshaul check` is excepted."
        )
        statements.append(Statement("NeverOverwrite", reason, body))
    reason = "Optional: merge this into the existing bucket policy. Do not replace that policy."
    if rights:
        reason = (
            "Merge this into the existing bucket policy: the permissions of Account A's identity. Do not replace that "
            "policy."
        )
    return PolicyDocument("bucket-policy", Party.B, reason, tuple(statements))


def _lifecycle(request: PolicyRequest) -> PolicyDocument:
    rule = {
        "ID": "end-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": request.destination.key_prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UNFINISHED_DAYS},
    }
    reason = (
        f"Add this to the lifecycle rules of the bucket: parts of abandoned uploads cost money until they are removed, "
        f"here after {_UNFINISHED_DAYS} days. Increase that if the upload of a file can take longer."
    )
    return PolicyDocument("lifecycle", Party.B, reason, rules=(rule,))


def _direct(request: PolicyRequest) -> list[PolicyDocument]:
    """Without a role, both Account A's identity policy and Account B's bucket policy have to allow access."""
    reason = "Identity policy of the user or role that Crosshaul runs as, which assumes no other role."
    principal = {"Principal": {"AWS": request.principal}}
    documents = [
        PolicyDocument("identity-policy", Party.A, reason, tuple(_rights(request))),
        _bucket_policy(request, tuple(_rights(request, **principal))),
    ]
    return [*documents, _key_policy(request, request.principal)] if request.key else documents
