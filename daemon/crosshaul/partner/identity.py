"""Who may call: Account A's user, and the sessions of the role; and what policies say to a caller."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from crosshaul.partner.errors import Refusal, access_denied
from crosshaul.partner.policy import Ask, Policy, Verdict
from crosshaul.partner.settings import Settings


@dataclass(frozen=True, slots=True)
class Caller:
    """A holder of credentials. ``issued`` and ``expires`` are in seconds since the epoch by the account's clock."""

    arn: str
    account: str
    user_id: str
    access_key_id: str
    secret: str
    token: str | None = None
    role_arn: str | None = None
    session_policy: Policy | None = None
    issued: float = 0.0
    expires: float = float("inf")

    def __repr__(self) -> str:
        return f"Caller({self.arn}, {self.access_key_id})"


@dataclass(frozen=True, slots=True)
class Policies:
    """The account's documents, compiled once per change of the settings."""

    user: Policy
    trust: Policy
    role: Policy
    bucket: Policy
    key: Policy | None
    silent: Policy

    @classmethod
    def of(cls, settings: Settings) -> Policies:
        """Compile; raises Refusal (MalformedPolicyDocument)."""
        return cls(
            user=Policy(settings.user_document()),
            trust=Policy(settings.trust_document()),
            role=Policy(settings.role_document()),
            bucket=Policy(settings.bucket_policy),
            key=Policy(settings.kms_key_policy) if settings.kms_key_policy is not None else None,
            silent=Policy(None),
        )

    def identity_of(self, caller: Caller) -> Policy:
        """The identity policy that is the caller's."""
        return self.role if caller.role_arn else self.user


class Directory:
    """The credentials that exist."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, Caller] = {}
        self._revoked: dict[str, str] = {}
        self._user_id = "AIDA" + secrets.token_hex(8).upper()
        self.role_id = "AROA" + secrets.token_hex(8).upper()

    def open_session(self, name: str, now: float, seconds: float, policy: Policy | None) -> Caller:
        """New temporary credentials of the role."""
        settings = self._settings
        session = Caller(
            arn=f"arn:aws:sts::{settings.partner_account}:assumed-role/{settings.role_name}/{name}",
            account=settings.partner_account,
            user_id=f"{self.role_id}:{name}",
            access_key_id="ASIA" + secrets.token_hex(8).upper(),
            secret=secrets.token_urlsafe(30),
            token="F" + secrets.token_urlsafe(300),
            role_arn=settings.role_arn,
            session_policy=policy,
            issued=now,
            expires=math.ceil(now + seconds),  # Expiration is written in whole seconds, and is the truth
        )
        self._sessions[session.access_key_id] = session
        return session

    def secrets(self) -> list[str]:
        """Secret keys and tokens of all sessions that were ever opened."""
        return [each for session in self._sessions.values() for each in (session.secret, session.token or "")]

    def revoke(self, code: str) -> None:
        """From now on every session that exists is refused with ``code`` (ExpiredToken, InvalidToken, AccessDenied)."""
        self._revoked.update(dict.fromkeys(self._sessions, code))

    def revoked(self, access_key_id: str) -> str | None:
        """The code that a revoked session is refused with."""
        return self._revoked.get(access_key_id)

    def find(self, access_key_id: str) -> Caller | None:
        """Whose key that is."""
        settings = self._settings
        if access_key_id != settings.access_key_id:
            return self._sessions.get(access_key_id)
        return Caller(
            arn=settings.user_arn,
            account=settings.user_account,
            user_id=self._user_id,
            access_key_id=settings.access_key_id,
            secret=settings.secret_access_key,
        )


def names_of(caller: Caller, resource_account: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names by which a policy of ``resource_account`` may allow, and may deny, the caller."""
    own = {"*", caller.arn, *([caller.role_arn] if caller.role_arn else [])}
    everybody = own | {caller.account, f"arn:aws:iam::{caller.account}:root"}
    return frozenset(everybody if caller.account != resource_account else own), frozenset(everybody)


def _not_authorized(caller: Caller, ask: Ask, reason: str, quote: str = '"') -> Refusal:
    resource = f"{quote}{ask.resource}{quote}"
    return access_denied(
        f"User: {caller.arn} is not authorized to perform: {ask.action} on resource: {resource}{reason}"
    )


def authorize(caller: Caller, policies: Policies, resource_policy: Policy, owner: str, ask: Ask) -> None:
    """Let the request pass, or raise Refusal (AccessDenied) in AWS's words.

    ``owner`` is the account of the resource. Within it either policy suffices; from outside both must allow; a session
    policy narrows what the role's identity policy gives, and what a resource policy gives the role.
    """
    identity = policies.identity_of(caller).verdict(ask)
    session = caller.session_policy.verdict(ask) if caller.session_policy else Verdict.ALLOW
    resource = resource_policy.verdict(ask)
    for verdict, kind in ((identity, "identity-based"), (session, "session"), (resource, "resource-based")):
        if verdict is Verdict.DENY:
            raise _not_authorized(caller, ask, f" with an explicit deny in a {kind} policy")
    inside = caller.account == owner
    granted = [identity is Verdict.ALLOW, resource is Verdict.ALLOW]
    if session is Verdict.ALLOW and (any(granted) if inside else all(granted)):
        return
    if not inside:
        raise access_denied()
    kind = "identity-based" if session is Verdict.ALLOW else "session"
    raise _not_authorized(caller, ask, f" because no {kind} policy allows the {ask.action} action")


def authorize_key(caller: Caller, policies: Policies, owner: str, ask: Ask) -> None:
    """Let a call on a KMS key pass, or raise Refusal (AccessDenied) in AWS's words.

    A key's policy is the first word: IAM policies count only as far as it leaves access to them, by a statement for
    the account's root (KMS developer guide, "Key policies").
    """
    if policies.key is None:
        authorize(caller, policies, policies.silent, owner, ask)
        return
    root = frozenset({owner, f"arn:aws:iam::{owner}:root"})
    delegated = policies.key.verdict(replace(ask, principals=root)) is Verdict.ALLOW
    by_identity = policies.identity_of(caller).verdict(ask) if delegated else Verdict.SILENT
    session = caller.session_policy.verdict(ask) if caller.session_policy else Verdict.ALLOW
    by_key = policies.key.verdict(ask)
    if Verdict.DENY in (by_key, by_identity, session):
        raise _not_authorized(caller, ask, " with an explicit deny in a resource-based policy")
    if session is not Verdict.ALLOW or Verdict.ALLOW not in (by_key, by_identity):
        kind = "identity-based" if delegated else "resource-based"
        raise _not_authorized(caller, ask, f" because no {kind} policy allows the {ask.action} action")


def authorize_assume_role(
    caller: Caller,
    settings: Settings,
    policies: Policies,
    resource: str,
    context: Mapping[str, str],
    action: str = "sts:AssumeRole",
) -> None:
    """Let AssumeRole, or what comes with it, pass when both accounts allow it, or raise Refusal in AWS's words."""
    principals, denials = names_of(caller, settings.partner_account)
    ask = Ask(action, resource, context, principals, denials)
    known = settings.role_exists and resource == settings.role_arn
    own = policies.identity_of(caller).verdict(ask)
    if Verdict.DENY in (own, policies.trust.verdict(ask)):
        raise _not_authorized(caller, ask, " with an explicit deny", quote="")
    if not known or own is not Verdict.ALLOW or policies.trust.verdict(ask) is not Verdict.ALLOW:
        raise _not_authorized(caller, ask, "", quote="")


def live_session_fault(directory: Directory, caller: Caller, now: float) -> str | None:
    """Why a session is no longer accepted: the code, or None."""
    return directory.revoked(caller.access_key_id) or ("ExpiredToken" if now >= caller.expires else None)


def session_refusal(code: str, *, service: str) -> Refusal:
    """The refusal of a session that is over, as STS or S3 words it."""
    if code == "AccessDenied":
        return access_denied()
    if service == "sts":
        message = "The security token included in the request is "
        return Refusal(
            HTTPStatus.FORBIDDEN, *((code, message + "expired") if code == "ExpiredToken" else (
                "InvalidClientTokenId", message + "invalid."
            ))
        )  # fmt: skip
    messages = {
        "ExpiredToken": "The provided token has expired.",
        "InvalidToken": "The provided token is malformed or otherwise invalid.",
    }
    return Refusal(HTTPStatus.BAD_REQUEST, code, messages.get(code, code))
