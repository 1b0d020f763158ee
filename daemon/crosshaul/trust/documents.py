"""What each account's admin has to apply for one destination, and no more: policy documents with their reasons. Pure.

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
    """What stands in a document for a value that is not known, or that is nobody's to read."""

    name: str
    """In snake case, such as ``external_id``."""
    told: str
    """What it is, for the person who gives it."""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy, and why it is there."""

    sid: str
    reason: str
    body: dict[str, Any]

    def as_policy(self) -> dict[str, Any]:
        """The statement as IAM knows it."""
        return {"Sid": self.sid, **self.body}


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One document, whose it is, and what it is for."""

    name: str
    """A stable name, such as ``role-policy``."""
    party: Party
    reason: str
    statements: tuple[Statement, ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    """Of a lifecycle configuration."""

    def document(self) -> dict[str, Any]:
        """As AWS's API takes it."""
        if self.rules:
            return {"Rules": list(self.rules)}
        return {"Version": _VERSION, "Statement": [each.as_policy() for each in self.statements]}


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What the documents are made for."""

    destination: Destination
    principal: str | Variable
    """Account A's identity: the ARN of a user or role, or of an account's root."""
    external_ids: tuple[str | Variable, ...] = ()
    optional: bool = False
    """Whether the rights are wanted that make some things nicer: Abort, ListParts."""
    kms_key: str | None = None
    """The ARN of the key that the bucket encrypts with by itself."""
    never_overwrites: bool = False
    """Whether no route to the destination ever overwrites an object."""
    overwritten: tuple[str, ...] = ()
    """Objects of other destinations in this bucket, as resources, where the same role may overwrite."""

    @property
    def key(self) -> str | None:
        """The ARN of the key that objects are encrypted with, where it is known."""
        return self.destination.ssekms_key_id or self.kms_key

    @property
    def partition(self) -> str:
        """AWS's partition: ``aws``, ``aws-cn``, ``aws-us-gov``."""
        return partition_of(self.destination)

    @property
    def bucket(self) -> str:
        """The bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.destination.bucket}"

    @property
    def objects(self) -> str:
        """All keys that Crosshaul may write, as a policy's resource."""
        return objects_of(self.destination)


def principal_of(arn: str, partition: str, *, custom: bool) -> str:
    """Whom a policy has to name to mean the holder of credentials: a session's role, an account's root.

    The path of a role does not stand in its sessions' ARN; a role that has one has to be named by hand. ``custom``
    stores have ARNs of their own. Raises ValueError, with what to write, for what no policy takes as a principal.
    """
    if re.fullmatch(r"[0-9]{12}", arn):
        return f"arn:{partition}:iam::{arn}:root"
    known = (_ANY_IDENTITY if custom else _IDENTITY).fullmatch(arn)
    if known is None:
        raise ValueError(f"{arn!r} is no identity; write an account's 12 digits, or the ARN of a user or role")
    if not custom and known[1] != partition:
        raise ValueError(f"{arn} is of partition {known[1]}, and the role or bucket of {partition}; IAM takes no such")
    session = _SESSION.fullmatch(arn)
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn


def pieces(wish: PolicyRequest) -> list[PolicyDocument]:
    """Everything for one destination: Account A's first."""
    if wish.destination.role_arn is None:
        return [*_direct(wish), _lifecycle(wish)]
    found = [_identity_policy(wish), _trust_policy(wish), _role_policy(wish)]
    found += [_key_policy(wish, wish.destination.role_arn)] if wish.key else []
    return [*found, _bucket_policy(wish, ()), _lifecycle(wish)]


def _allow(actions: str | list[str], resource: str | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    body: dict[str, Any] = {"Effect": "Allow", "Action": actions, **more}
    return body | ({"Resource": resource} if resource else {})


def _identity_policy(wish: PolicyRequest) -> PolicyDocument:
    role = wish.destination.role_arn
    reason = "Account A's credentials can do this one thing, so that whoever gets hold of them can do no other."
    statements = [Statement("AssumeTheRole", reason, _allow("sts:AssumeRole", role))]
    if wish.destination.source_identity:
        reason = "The session tells Account B's CloudTrail which host it is of (source_identity)."
        statements.append(Statement("NameTheHost", reason, _allow("sts:SetSourceIdentity", role)))
    if wish.destination.session_tags:
        reason = "The session carries tags (session_tags)."
        statements.append(Statement("TagTheSession", reason, _allow("sts:TagSession", role)))
    return PolicyDocument("identity-policy", Party.A, "Of the user or role that Crosshaul runs as.", tuple(statements))


def _trust_policy(wish: PolicyRequest) -> PolicyDocument:
    to, who = wish.destination, {"Principal": {"AWS": wish.principal}}
    ids = list(wish.external_ids)
    agreed = {"StringEquals": {"sts:ExternalId": ids[0] if len(ids) == 1 else ids}}
    reason = "Only Account A's identity may assume the role, and only with the external ID (the confused deputy)."
    statements = [Statement("TrustAccountA", reason, {**_allow("sts:AssumeRole", None), **who, "Condition": agreed})]
    if to.source_identity:
        named = {"StringEquals": {"sts:SourceIdentity": to.source_identity}}
        body = {**_allow("sts:SetSourceIdentity", None), **who, "Condition": named}
        statements.append(Statement("LetTheHostBeNamed", "CloudTrail shows which host a session is of.", body))
    if to.session_tags:
        tagged = {"StringEquals": {f"aws:RequestTag/{key}": value for key, value in to.session_tags.items()}}
        body = {**_allow("sts:TagSession", None), **who, "Condition": tagged}
        statements.append(Statement("LetTheSessionBeTagged", "Sessions carry these tags, and no others.", body))
    return PolicyDocument("trust-policy", Party.B, f"Of the role {to.role_arn}: who may assume it.", tuple(statements))


def _role_policy(wish: PolicyRequest) -> PolicyDocument:
    return PolicyDocument(
        "role-policy", Party.B, f"Of the role {wish.destination.role_arn}: what it may do.", tuple(_rights(wish))
    )


def _rights(wish: PolicyRequest, **who: Any) -> Iterator[Statement]:  # noqa: ANN401 - a principal, in a bucket's policy
    to, objects = wish.destination, wish.objects
    yield Statement("Upload", "Uploads of any size, in one piece or in parts.", _allow("s3:PutObject", objects, **who))
    reason = "Whether an upload arrived whose answer was lost (HEAD), and what `crosshaul check` reads back."
    yield Statement("ReadBack", reason, _allow("s3:GetObject", objects, **who))
    if to.tags:
        yield Statement("Tag", "The objects get tags (tags).", _allow("s3:PutObjectTagging", objects, **who))
    if to.acl:
        yield Statement("SetAcl", "The objects get an ACL (acl).", _allow("s3:PutObjectAcl", objects, **who))
    if wish.optional:
        reason = "Optional: an abandoned upload in parts is cleared at once, and not by the lifecycle rule."
        yield Statement("OptionalAbort", reason, _allow("s3:AbortMultipartUpload", objects, **who))
        reason = "Optional: for people who look into an upload under way; Crosshaul does without."
        yield Statement("OptionalListParts", reason, _allow("s3:ListMultipartUploadParts", objects, **who))
    if wish.key and not who:
        yield from _key_rights(wish, wish.key)


def _key_rights(wish: PolicyRequest, resource: str, **who: Any) -> Iterator[Statement]:  # noqa: ANN401 - a principal
    service = f"s3.{wish.destination.region}.amazonaws.com"
    of_china = wish.partition == "aws-cn"
    via = {"StringEquals": {"kms:ViaService": [service, f"{service}.cn"] if of_china else service}}
    reason = "S3 encrypts what is uploaded with this key; only by way of S3."
    yield Statement("EncryptWithTheKey", reason, _allow("kms:GenerateDataKey", resource, **who, Condition=via))
    reason = "S3 joins the parts of a large upload, and reads back; only by way of S3."
    yield Statement("JoinPartsWithTheKey", reason, _allow("kms:Decrypt", resource, **who, Condition=via))


def _key_policy(wish: PolicyRequest, principal: str | Variable) -> PolicyDocument:
    reason = (
        f"To add to the policy of the key {wish.key}, unless that leaves access to IAM already (a statement for the "
        "account's root, as every key has that was made in the console)."
    )
    return PolicyDocument("key-policy", Party.B, reason, tuple(_key_rights(wish, "*", Principal={"AWS": principal})))


def _bucket_policy(wish: PolicyRequest, rights: tuple[Statement, ...]) -> PolicyDocument:
    everybody: dict[str, Any] = {"Effect": "Deny", "Principal": "*"}
    both = [wish.bucket, f"{wish.bucket}/*"]
    plain = {"Action": "s3:*", "Resource": both, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    statements = [*rights, Statement("OnlyOverTls", "Nothing goes unencrypted over the wire.", everybody | plain)]
    if how := wish.destination.server_side_encryption:
        # Parts say nothing of it, and a negated condition holds for what is not there (IfExists as well).
        header = "s3:x-amz-server-side-encryption"
        other = {"StringNotEquals": {header: how}, "Null": {header: "false"}}
        body = everybody | {"Action": "s3:PutObject", "Resource": wish.objects, "Condition": other}
        reason = f"Nobody asks for another encryption than {how}; what asks for none gets the bucket's default."
        statements.append(Statement("OnlyThisEncryption", reason, body))
    if wish.never_overwrites:
        new = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
        who = {"Principal": {"AWS": wish.destination.role_arn or wish.principal}}
        own = f"{wish.objects.removesuffix('*')}{CHECK_KEY}"
        free: str | list[str] = [own, *wish.overwritten] if wish.overwritten else own
        body = {"Effect": "Deny", **who, "Action": "s3:PutObject", "NotResource": free, "Condition": new}
        reason = (
            "Crosshaul overwrites no object: all routes say overwrite: never, and send If-None-Match. What `crosshaul "
            "check` writes is always the same."
        )
        statements.append(Statement("NeverOverwrite", reason, body))
    reason = "Suggested: to merge into the policy that the bucket has. In its place, it would take the others away."
    if rights:
        reason = (
            "To merge into the policy that the bucket has: what Account A's identity may do, and how. In its place, it "
            "would take the others away."
        )
    return PolicyDocument("bucket-policy", Party.B, reason, tuple(statements))


def _lifecycle(wish: PolicyRequest) -> PolicyDocument:
    rule = {
        "ID": "end-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": wish.destination.key_prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UNFINISHED_DAYS},
    }
    reason = (
        f"To add to the bucket's lifecycle rules: parts of an upload that was given up cost money until they are "
        f"cleared, here after {_UNFINISHED_DAYS} days. Uploads of files that take longer to send need longer."
    )
    return PolicyDocument("lifecycle", Party.B, reason, rules=(rule,))


def _direct(wish: PolicyRequest) -> list[PolicyDocument]:
    """Without a role, both sides allow: Account A's identity policy and Account B's bucket policy."""
    reason = "Of the user or role that Crosshaul runs as: there is no role to assume, so it needs the rights itself."
    who = {"Principal": {"AWS": wish.principal}}
    found = [
        PolicyDocument("identity-policy", Party.A, reason, tuple(_rights(wish))),
        _bucket_policy(wish, tuple(_rights(wish, **who))),
    ]
    return [*found, _key_policy(wish, wish.principal)] if wish.key else found
