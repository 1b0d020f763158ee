"""The chain from Account A's credentials to bytes in Account B's bucket, walked step by step as the daemon walks it.

Everything is written to one constant key under the prefix, so that nothing piles up where nothing may be deleted; no
object of anybody else's is touched, not even one that has this key.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from crosshaul.aws.base_credentials import BaseCredentials, CallerIdentity
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.conditional_writes import NEW, Condition
from crosshaul.aws.object_headers import CHECK_KEY
from crosshaul.aws.refresher import Refresher, parameters
from crosshaul.aws.session_policy import session_policies
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import Payload
from crosshaul.integrity.verify import ChecksumNegotiator, HeadResult, UploadResult
from crosshaul.model import Checksum, ChecksumKind, Multipart, Part
from crosshaul.trust.diagnosis import Evidence, advise
from crosshaul.trust.findings import Finding, Outcome

TEXT = b"This is from cross account!"
_TOKEN = "check"  # noqa: S105 - what the object's metadata say, no password
_KEYS = 8
_CHAINED = 3600
_MOST_SKEW = 60.0
_REFUSED = frozenset({"AccessDenied", "403"})
_NOT_FOUND = 404
_UNKNOWN_CALL = frozenset({"MethodNotAllowed", "InvalidAction", "NotImplemented"})
"""How gateways that are not AWS answer to calls that they have not got."""
_NO_UPLOAD = frozenset({"NoSuchUpload", "404"})


@dataclass
class CheckContext:
    """What a check walks on: one destination's parts, as the daemon has them."""

    destination: Destination
    chain: BaseCredentials
    refresher: Refresher
    bucket: Bucket
    widely: Callable[[], AbstractAsyncContextManager[Bucket]]
    """The bucket as the role sees it that no session policy narrows."""
    deputy: bool = True
    """Whether to try what a confused deputy would."""
    went_well: set[str] = field(default_factory=set)
    caller: CallerIdentity | None = None
    answer: UploadResult | None = None
    """What the upload was answered."""

    number: int = 0
    """Of the key: another one where an object that is not a check's has it."""

    @property
    def key(self) -> str:
        """The one key that is written."""
        return f"{self.destination.key_prefix}{CHECK_KEY}{f'-{self.number}' if self.number else ''}"


Step = Callable[[CheckContext], Awaitable[list[Finding]]]


async def walk(ground: CheckContext) -> AsyncIterator[Finding]:
    """The findings, one after the other; what needs a step that failed is skipped."""
    for name, step, needs in _STEPS:
        missing = [need for need in needs if need not in ground.went_well]
        if missing:
            yield Finding(name, Outcome.SKIPPED, f"not tried, since {missing[0]} failed")
            continue
        try:
            findings = await step(ground)
        except Fault as fault:
            yield _failed(name, ground, fault.diagnosis)
            continue
        if not any(finding.verdict is Outcome.BAD for finding in findings):
            ground.went_well.add(name)
        for finding in findings:
            yield finding


def _failed(step: str, ground: CheckContext, error: Diagnosis) -> Finding:
    arn = ground.caller.arn if ground.caller else None
    advice = advise(Evidence(ground.destination, error, frozenset(ground.went_well), arn))
    told = {"upload": "validated Upload : false", "download": "validated Download : false"}.get(step, error.message)
    return Finding(step, Outcome.BAD, told, error, advice)


async def _identity(ground: CheckContext) -> list[Finding]:
    try:
        caller = ground.caller = await ground.chain.caller()
    except Fault as fault:
        if fault.diagnosis.code not in _UNKNOWN_CALL:
            raise
        return [
            Finding("identity", Outcome.NOTE, "this STS knows no GetCallerIdentity: whose credentials they are is open")
        ]
    facts = {"account": caller.account, "arn": caller.arn, "source": caller.source}
    findings = [Finding("identity", Outcome.GOOD, f"{caller.arn}, from {caller.source}", facts=facts)]
    if ":user/" in caller.arn:
        told = "these are a user's long-lived keys; a role (EC2, ECS, IRSA, SSO) needs none on the disk"
        findings.append(Finding("identity", Outcome.NOTE, told))
    if caller.server_time is not None and abs(skew := time.time() - caller.server_time) > _MOST_SKEW:
        told = f"this machine's clock is {skew:+.0f} s off AWS's; at 15 minutes everything is refused"
        findings.append(Finding("identity", Outcome.NOTE, told, facts={"clock_skew_seconds": round(skew)}))
    return findings


async def _assume_role(ground: CheckContext) -> list[Finding]:
    to = ground.destination
    await ground.refresher.credentials()
    if to.role_arn is None:
        return [Finding("assume_role", Outcome.GOOD, "no role: Account A's credentials are used as they are")]
    left = ground.refresher.expires_in()
    facts = {"role_arn": to.role_arn, "expires_in_seconds": left and round(left)}
    told = f"{to.role_arn}, for {left or 0:,.0f} s"
    findings = [Finding("assume_role", Outcome.GOOD, told, facts=facts)]
    if ground.refresher.external_id not in {None, "1 of 1"}:
        facts["external_id"] = ground.refresher.external_id
        told = f"of the external IDs, number {facts['external_id']} was taken: the others can go when all use it"
        findings.append(Finding("assume_role", Outcome.NOTE, told))
    chained = ground.caller is not None and ":assumed-role/" in ground.caller.arn
    if chained and to.duration_seconds > _CHAINED:
        told = "Account A's identity is a role itself, so AWS caps sessions at 3600 s, whatever `duration_seconds` says"
        findings.append(Finding("assume_role", Outcome.NOTE, told))
    return findings


async def _confused_deputy(ground: CheckContext) -> list[Finding]:
    """AssumeRole without the external ID, and with one that is made up: each must be refused."""
    to = ground.destination
    if to.role_arn is None or not ground.deputy:
        return [Finding("confused_deputy", Outcome.SKIPPED, "not asked for" if to.role_arn else "there is no role")]
    if not await asyncio.to_thread(to.external_ids):
        told = (
            "the role demands no external ID, and none is configured: agree on one, and have the trust policy demand it"
        )
        return [_open(ground, told)]
    return [
        await _lets_in(ground, None, "without the external ID"),
        await _lets_in(ground, secrets.token_hex(16), "with a made-up external ID"),
    ]


async def _lets_in(ground: CheckContext, external_id: str | None, how: str) -> Finding:
    policies = await asyncio.to_thread(session_policies, ground.destination)
    asked = parameters(ground.destination, external_id, policies[-1])
    try:
        # What this wins is dropped unread: it is nobody's to use.
        await ground.chain.assume_role(asked)
    except Fault as fault:
        if fault.diagnosis.code in _REFUSED:
            return Finding("confused_deputy", Outcome.GOOD, f"{how} the role refuses, as it should")
        return _failed("confused_deputy", ground, fault.diagnosis)  # neither let in nor refused: nothing is proven
    return _open(ground, f"{how} the role lets Account A in: whoever can make us act could act on the bucket")


def _open(ground: CheckContext, told: str) -> Finding:
    return _failed(
        "confused_deputy", ground, Diagnosis(FaultKind.DESTINATION, "ConfusedDeputy", told, "AssumeRole", status=200)
    )


async def _upload(ground: CheckContext) -> list[Finding]:
    """PutObject to a key that is free or a check's, with the best checksum that the store takes."""
    for ground.number in range(_KEYS):
        held = await _held(ground)
        if held is not None and held.token != _TOKEN:
            continue
        try:
            answer = ground.answer = await _put(ground, NEW if held is None else None)
            break
        except Fault as fault:
            if fault.kind is not FaultKind.EXISTS:
                raise  # else something has the key that may not be looked at
    else:
        text = f"{ground.key} and {_KEYS - 1} more like it have objects that are no check's: take them away"
        raise Fault(Diagnosis(FaultKind.EXISTS, "PreconditionFailed", text, "PutObject"))
    facts = {"key": ground.key, "etag": answer.etag, "request_id": answer.request_id}
    return [Finding("upload", Outcome.GOOD, "validated Upload : true", facts=facts)]


async def _held(ground: CheckContext) -> HeadResult | None:
    """What lies under the key, as far as it can be seen: a refusal is better told by the upload, which has words."""
    try:
        return await ground.bucket.head_object(ground.key)
    except Fault:
        return None


async def _put(ground: CheckContext, condition: Condition | None) -> UploadResult:
    ladder = ChecksumNegotiator()
    while True:
        kind = ladder.kind
        payload = Payload.of(TEXT, ladder.kinds(), hashed=await ground.bucket.needs_hash())
        try:
            return await ground.bucket.put_object(ground.key, payload, time.time_ns(), _TOKEN, condition=condition)
        except Fault as fault:
            if fault.kind is not FaultKind.UNSUPPORTED:
                raise
            if condition is not None:
                condition = None  # the first suspect
            elif not ladder.refuse(kind):
                raise


async def _download(ground: CheckContext) -> list[Finding]:
    found = await ground.bucket.get_range(ground.key, 0, len(TEXT) - 1)
    if found != TEXT:
        text = f"bytes 0-{len(TEXT) - 1} came back as {found!r}"
        raise Fault(Diagnosis(FaultKind.CORRUPT, "ContentMismatch", text, "GetObject", status=206))
    facts = {"content": found.decode()}
    return [Finding("download", Outcome.GOOD, "validated Download : true", facts=facts)]


async def _multipart(ground: CheckContext) -> list[Finding]:
    """Create, one part, complete (which proves kms:Decrypt where KMS is used); then whether Abort is allowed."""
    bucket, kind = ground.bucket, _kind(ground)
    upload = await bucket.create_multipart_upload(ground.key, time.time_ns(), _TOKEN, kind)
    payload = Payload.of(TEXT, (kind,), hashed=await bucket.needs_hash())
    answer = await bucket.upload_part(ground.key, upload, 1, payload)
    part = Part(1, len(TEXT), answer.etag, payload.checksums[0])
    whole: Checksum | None = None if kind is ChecksumKind.MD5 else payload.checksums[0]
    done = Multipart(upload, ground.key, len(TEXT), kind, (part,))
    await bucket.complete_multipart_upload(done, whole, size=len(TEXT), condition=None)
    well = Finding("multipart", Outcome.GOOD, "a multipart upload was created, sent and completed")
    return [well, await _abort(ground, done), await _list_parts(ground, done)]


async def _list_parts(ground: CheckContext, done: Multipart) -> Finding:
    may = await ground.bucket.may("list_parts", done.key, UploadId=done.upload_id)
    told = "ListParts is allowed" if may else "ListParts is not allowed"
    return Finding(
        "multipart", Outcome.GOOD, f"{told}; the journal knows the parts without", facts={"list_parts_allowed": may}
    )


async def _abort(ground: CheckContext, done: Multipart) -> Finding:
    """Whether Abort is allowed, by an upload that is finished already: a check leaves none behind."""
    try:
        await ground.bucket.abort_multipart_upload(done.key, done.upload_id)
    except Fault as fault:
        if fault.diagnosis.code in _REFUSED:
            told = "Abort is not allowed: give the bucket a lifecycle rule that ends unfinished multipart uploads"
            return Finding("multipart", Outcome.NOTE, told, facts={"abort_allowed": False})
        if fault.diagnosis.code not in _NO_UPLOAD:
            return Finding(
                "multipart", Outcome.NOTE, "it could not be found out whether Abort is allowed", fault.diagnosis
            )
    return Finding("multipart", Outcome.GOOD, "abandoned uploads can be cleared up", facts={"abort_allowed": True})


def _kind(ground: CheckContext) -> ChecksumKind:
    echoed = ground.answer.checksum if ground.answer else None
    return echoed.kind if echoed else ChecksumKind.MD5


async def _store(ground: CheckContext) -> list[Finding]:
    """What the store honours of what was asked for."""
    assert ground.answer is not None  # noqa: S101 - the upload went well
    echoed, to = ground.answer.checksum, ground.destination
    proof = f"the store checks {echoed.kind}" if echoed else "the store knows no checksum but Content-MD5"
    findings = [Finding("store", Outcome.GOOD, proof, facts={"checksum": str(echoed.kind) if echoed else None})]
    findings += [await _encrypted(ground), await _conditions(ground), *_honoured(to)]
    missing = await ground.bucket.status_of(f"{ground.key}-{secrets.token_hex(8)}")
    told = "a missing key looks forbidden, as it does without s3:ListBucket: our own uploads are known by their token"
    if missing == _NOT_FOUND:
        told = "a missing key is told from a forbidden one (s3:ListBucket)"
    return [*findings, Finding("store", Outcome.GOOD, told, facts={"missing_key_status": missing})]


async def _encrypted(ground: CheckContext) -> Finding:
    """What came back of the encryption that was asked for."""
    to = ground.destination
    mode, key = await ground.bucket.encryption_of(ground.key)
    facts = {"encryption": mode, "kms_key": key}
    if to.server_side_encryption not in {None, mode} or to.ssekms_key_id not in {None, key}:
        asked = " with ".join(filter(None, (to.server_side_encryption, to.ssekms_key_id)))
        told = f"{asked} was asked for, and the object is said to be encrypted by {mode or 'nothing'} {key or ''}"
        return Finding("store", Outcome.NOTE, told.rstrip(), facts=facts)
    told = f"encrypted by {mode}" if mode else "the store says nothing of encryption"
    return Finding("store", Outcome.GOOD, told + (f" with {key}" if key else ""), facts=facts)


async def _conditions(ground: CheckContext) -> Finding:
    """Whether If-None-Match holds a write off, found out at the check's own object."""
    kind = _kind(ground)
    payload = Payload.of(TEXT, (kind,), hashed=await ground.bucket.needs_hash())
    try:
        await ground.bucket.put_object(ground.key, payload, time.time_ns(), _TOKEN, condition=NEW)
    except Fault as fault:
        if fault.kind is FaultKind.EXISTS:
            told = "If-None-Match is kept: `overwrite: never` holds against whoever writes meanwhile"
            return Finding("store", Outcome.GOOD, told, facts={"conditions": True})
        if fault.kind is not FaultKind.UNSUPPORTED:
            told = "it could not be found out whether If-None-Match is kept"
            return Finding("store", Outcome.NOTE, told, fault.diagnosis)
    told = (
        "the store does not keep If-None-Match: for `overwrite: never`, `delete` and `move` HEAD asks before each "
        "file, and who writes in the same moment is not noticed"
    )
    return Finding("store", Outcome.NOTE, told, facts={"conditions": False})


def _honoured(to: Destination) -> list[Finding]:
    """What went along with the upload that went well."""
    if to.expected_bucket_owner is None:
        told = "nothing guards against the bucket's name going to another account: set `expected_bucket_owner`"
        found = [Finding("store", Outcome.NOTE, told)]
    else:
        told = f"account {to.expected_bucket_owner} was demanded as the bucket's owner"
        found = [Finding("store", Outcome.GOOD, told, facts={"expected_bucket_owner": to.expected_bucket_owner})]
    return [*found, *([Finding("store", Outcome.GOOD, f"the ACL {to.acl} was taken")] if to.acl else [])]


async def _least_privilege(ground: CheckContext) -> list[Finding]:
    """What the role may and need not, whatever our sessions are narrowed to.

    Nothing is touched: a list of one, a version of a key that isn't there.
    """
    async with ground.widely() as bucket:
        findings = await _excess(bucket, ground.key)
    told = "lists, deletions of versions, the bucket's policy, other buckets and IAM are refused, as they should be"
    return findings or [Finding("least_privilege", Outcome.GOOD, told)]


async def _excess(bucket: Bucket, key: str) -> list[Finding]:
    rights = ["s3:ListAllMyBuckets"] if await bucket.sees_other_buckets() else []
    rights += ["iam:ListRoles"] if await bucket.sees_iam() else []
    for right, operation, of, more in (
        ("s3:ListBucket", "list_objects_v2", None, {"MaxKeys": 1}),
        ("s3:DeleteObjectVersion", "delete_object", f"{key}-{secrets.token_hex(8)}", {"VersionId": "null"}),
        ("s3:GetBucketPolicy", "get_bucket_policy", None, {}),
    ):
        if await bucket.may(operation, of, **more):
            rights.append(right)
    return [
        Finding(
            "least_privilege",
            Outcome.NOTE,
            f"the role may {right}, which Crosshaul never needs",
            facts={"right": right},
        )
        for right in rights
    ]


_STEPS: tuple[tuple[str, Step, tuple[str, ...]], ...] = (
    ("identity", _identity, ()),
    ("assume_role", _assume_role, ()),
    ("confused_deputy", _confused_deputy, ("assume_role",)),
    ("upload", _upload, ("assume_role",)),
    ("download", _download, ("upload",)),
    ("multipart", _multipart, ("upload",)),
    ("store", _store, ("upload",)),
    ("least_privilege", _least_privilege, ("assume_role",)),
)
