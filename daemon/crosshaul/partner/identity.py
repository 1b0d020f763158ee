"""Callers (Account A's user and the sessions of the role), and their authorization by policies."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from crosshaul.partner.errors import ApiError, access_denied
from crosshaul.partner.policy import AccessRequest, Policy, Verdict
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
class AccountPolicies:
    """The policy documents of the account, compiled once per change of the settings."""

    user: Policy
    trust: Policy
    role: Policy
    bucket: Policy
    key: Policy | None
    empty: Policy

    @classmethod
    def of(cls, settings: Settings) -> AccountPolicies:
        """Compile the documents of the settings; raises ApiError (MalformedPolicyDocument)."""
        return cls(
            user=Policy(settings.user_document()),
            trust=Policy(settings.trust_document()),
            role=Policy(settings.role_document()),
            bucket=Policy(settings.bucket_policy),
            key=Policy(settings.kms_key_policy) if settings.kms_key_policy is not None else None,
            empty=Policy(None),
        )

    def identity_of(self, caller: Caller) -> Policy:
        """Return the identity policy of a caller."""
        return self.role if caller.role_arn else self.user


class CredentialStore:
    """All existing credentials."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, Caller] = {}
        self._revoked: dict[str, str] = {}
        self._user_id = "AIDA" + secrets.token_hex(8).upper()
        self.role_id = "AROA" + secrets.token_hex(8).upper()

    def open_session(self, name: str, now: float, seconds: float, policy: Policy | None) -> Caller:
        """Issue temporary credentials for the role."""
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
            expires=math.ceil(now + seconds),  # Expiration is sent in whole seconds
        )
        self._sessions[session.access_key_id] = session
        return session

    def secrets(self) -> list[str]:
        """List the secret keys and tokens of all sessions, past ones included."""
        return [secret for session in self._sessions.values() for secret in (session.secret, session.token or "")]

    def revoke(self, code: str) -> None:
        """Refuse every existing session with ``code`` (ExpiredToken, InvalidToken, AccessDenied)."""
        self._revoked.update(dict.fromkeys(self._sessions, code))

    def revoked(self, access_key_id: str) -> str | None:
        """Return the error code of a revoked session; None for others."""
        return self._revoked.get(access_key_id)

    def find(self, access_key_id: str) -> Caller | None:
        """Find the holder of an access key."""
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
    """Return the principals by which a policy of ``resource_account`` can allow, and can deny, the caller."""
    own = {"*", caller.arn, *([caller.role_arn] if caller.role_arn else [])}
    everybody = own | {caller.account, f"arn:aws:iam::{caller.account}:root"}
    return frozenset(everybody if caller.account != resource_account else own), frozenset(everybody)


def _not_authorized(caller: Caller, access: AccessRequest, reason: str, quote: str = '"') -> ApiError:
    resource = f"{quote}{access.resource}{quote}"
    return access_denied(
        f"User: {caller.arn} is not authorized to perform: {access.action} on resource: {resource}{reason}"
    )


def authorize(
    caller: Caller, policies: AccountPolicies, resource_policy: Policy, owner: str, access: AccessRequest
) -> None:
    """Authorize a request, or raise ApiError (AccessDenied) in AWS's wording.

    ``owner`` is the account of the resource. Within it either policy suffices; from outside both must allow; a session
    policy narrows what the role's identity policy gives, and what a resource policy gives the role.
    """
    identity = policies.identity_of(caller).verdict(access)
    session = caller.session_policy.verdict(access) if caller.session_policy else Verdict.ALLOW
    resource = resource_policy.verdict(access)
    for verdict, kind in ((identity, "identity-based"), (session, "session"), (resource, "resource-based")):
        if verdict is Verdict.DENY:
            raise _not_authorized(caller, access, f" with an explicit deny in a {kind} policy")
    inside = caller.account == owner
    granted = [identity is Verdict.ALLOW, resource is Verdict.ALLOW]
    if session is Verdict.ALLOW and (any(granted) if inside else all(granted)):
        return
    if not inside:
        raise access_denied()
    kind = "identity-based" if session is Verdict.ALLOW else "session"
    raise _not_authorized(caller, access, f" because no {kind} policy allows the {access.action} action")


def authorize_key(caller: Caller, policies: AccountPolicies, owner: str, access: AccessRequest) -> None:
    """Authorize the use of a KMS key, or raise ApiError (AccessDenied) in AWS's wording.

    IAM policies count only when the key policy has a statement for the account's root (KMS developer guide, "Key
    policies").
    """
    if policies.key is None:
        authorize(caller, policies, policies.empty, owner, access)
        return
    root = frozenset({owner, f"arn:aws:iam::{owner}:root"})
    delegated = policies.key.verdict(replace(access, principals=root)) is Verdict.ALLOW
    by_identity = policies.identity_of(caller).verdict(access) if delegated else Verdict.NO_MATCH
    session = caller.session_policy.verdict(access) if caller.session_policy else Verdict.ALLOW
    by_key = policies.key.verdict(access)
    if Verdict.DENY in (by_key, by_identity, session):
        raise _not_authorized(caller, access, " with an explicit deny in a resource-based policy")
    if session is not Verdict.ALLOW or Verdict.ALLOW not in (by_key, by_identity):
        kind = "identity-based" if delegated else "resource-based"
        raise _not_authorized(caller, access, f" because no {kind} policy allows the {access.action} action")


def authorize_assume_role(
    caller: Caller,
    settings: Settings,
    policies: AccountPolicies,
    resource: str,
    context: Mapping[str, str],
    action: str = "sts:AssumeRole",
) -> None:
    """Authorize AssumeRole, or an action that comes with it, when both accounts allow it, or raise ApiError."""
    principals, denials = names_of(caller, settings.partner_account)
    access = AccessRequest(action, resource, context, principals, denials)
    exists = settings.role_exists and resource == settings.role_arn
    own = policies.identity_of(caller).verdict(access)
    if Verdict.DENY in (own, policies.trust.verdict(access)):
        raise _not_authorized(caller, access, " with an explicit deny", quote="")
    if not exists or own is not Verdict.ALLOW or policies.trust.verdict(access) is not Verdict.ALLOW:
        raise _not_authorized(caller, access, "", quote="")


def session_fault(directory: CredentialStore, caller: Caller, now: float) -> str | None:
    """Return the error code of a session that expired or was revoked; None for a valid one."""
    return directory.revoked(caller.access_key_id) or ("ExpiredToken" if now >= caller.expires else None)


def session_error(code: str, *, service: str) -> ApiError:
    """Build the error for a session that is no longer valid, in the wording of STS or S3."""
    if code == "AccessDenied":
        return access_denied()
    if service == "sts":
        message = "The security token included in the request is "
        return ApiError(
            HTTPStatus.FORBIDDEN, *((code, message + "expired") if code == "ExpiredToken" else (
                "InvalidClientTokenId", message + "invalid."
            ))
        )  # fmt: skip
    messages = {
        "ExpiredToken": "The provided token has expired.",
        "InvalidToken": "The provided token is malformed or otherwise invalid.",
    }
    return ApiError(HTTPStatus.BAD_REQUEST, code, messages.get(code, code))
