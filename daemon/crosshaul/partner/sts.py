"""STS in its query protocol: AssumeRole and GetCallerIdentity.

Source: AWS STS API Reference, AssumeRole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from crosshaul.partner.access import identify
from crosshaul.partner.body import read_small_body
from crosshaul.partner.errors import ApiError, element
from crosshaul.partner.exchange import Exchange, Response
from crosshaul.partner.identity import Caller, authorize_assume_role
from crosshaul.partner.policy import Policy
from crosshaul.partner.raw_request import query_values
from crosshaul.partner.settings import Settings

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_MAX_BODY_BYTES = 256 * 1024
_MIN_SECONDS = 900
_MAX_SECONDS = 43200
_CHAINED_SECONDS = 3600
_MAX_POLICY = 2048
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


def _invalid(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "ValidationError", message)


def _constraint(value: str, name: str, rule: str) -> ApiError:
    return _invalid(
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must {rule}"
    )


def _document(exchange: Exchange, operation: str, result: str) -> Response:
    metadata = f"<ResponseMetadata>{element('RequestId', exchange.request_id)}</ResponseMetadata>"
    body = (
        f'<{operation}Response xmlns="{_NAMESPACE}"><{operation}Result>{result}</{operation}Result>'
        f"{metadata}</{operation}Response>"
    )
    return Response(headers={"Content-Type": "text/xml"}, body=body.encode())


async def read_parameters(exchange: Exchange) -> tuple[bytes, dict[str, str]]:
    """Read the signed body and its form parameters."""
    body = await read_small_body(exchange, _MAX_BODY_BYTES)
    return body, query_values(body.decode("utf-8", "replace"))


def perform(exchange: Exchange, body: bytes, parameters: Mapping[str, str]) -> Response:
    """Run the operation; raises ApiError."""
    authorization, caller = identify(exchange)
    if authorization.region != exchange.settings.region:
        message = "Credential should be scoped to a valid region."
        raise ApiError(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", message)
    exchange.state.verifier.verify(exchange.raw, authorization, caller.secret, hashlib.sha256(body).hexdigest())
    exchange.caller = caller
    if exchange.target.operation == "AssumeRole":
        return _assume_role(exchange, caller, parameters)
    if exchange.target.operation == "GetCallerIdentity":
        return _caller_identity(exchange, caller)
    message = f"Could not find operation {parameters.get('Action', '')} for version {parameters.get('Version', '')}"
    raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidAction", message)


def _caller_identity(exchange: Exchange, caller: Caller) -> Response:
    result = element("Arn", caller.arn) + element("UserId", caller.user_id) + element("Account", caller.account)
    return _document(exchange, "GetCallerIdentity", result)


def _assume_role(exchange: Exchange, caller: Caller, parameters: Mapping[str, str]) -> Response:
    settings, state = exchange.settings, exchange.state
    _validate(parameters)
    policy = _session_policy(parameters.get("Policy"))
    context = _context(exchange, parameters)
    for action in _actions(parameters):
        authorize_assume_role(caller, settings, state.policies, parameters["RoleArn"], context, action)
    seconds = int(parameters.get("DurationSeconds", "3600"))
    _check_duration(seconds, settings, chained=settings.role_chaining or caller.role_arn is not None)
    lifetime = seconds if settings.session_seconds is None else settings.session_seconds
    session = state.credentials.open_session(parameters["RoleSessionName"], exchange.now, lifetime, policy)
    return _document(exchange, "AssumeRole", _session_xml(session, parameters.get("Policy")))


def _actions(parameters: Mapping[str, str]) -> Iterator[str]:
    """Yield each action that the call needs (IAM user guide, "Passing session tags", "Monitor and control actions")."""
    yield "sts:AssumeRole"
    if "SourceIdentity" in parameters:
        yield "sts:SetSourceIdentity"
    if _tags(parameters):
        yield "sts:TagSession"


def _tags(parameters: Mapping[str, str]) -> dict[str, str]:
    keys = {
        name.removesuffix(".Key"): value
        for name, value in parameters.items()
        if name.startswith("Tags.member.") and name.endswith(".Key")
    }
    return {key: parameters.get(f"{member}.Value", "") for member, key in keys.items()}


def _validate(parameters: Mapping[str, str]) -> None:
    if len(parameters.get("RoleArn", "")) < 20:  # noqa: PLR2004 - STS's own minimum
        raise _constraint(parameters.get("RoleArn", ""), "roleArn", "have length greater than or equal to 20")
    name = parameters.get("RoleSessionName", "")
    if not _SESSION_NAME.fullmatch(name):
        raise _constraint(name, "roleSessionName", r"satisfy regular expression pattern: [\w+=,.@-]*")
    external_id = parameters.get("ExternalId")
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        raise _constraint("***", "externalId", r"satisfy regular expression pattern: [\w+=,.@:\/-]*")
    duration = parameters.get("DurationSeconds", "3600")
    if not duration.isdigit() or int(duration) < _MIN_SECONDS:
        raise _constraint(duration, "durationSeconds", f"have value greater than or equal to {_MIN_SECONDS}")
    if int(duration) > _MAX_SECONDS:
        raise _constraint(duration, "durationSeconds", f"have value less than or equal to {_MAX_SECONDS}")


def _check_duration(seconds: int, settings: Settings, *, chained: bool) -> None:
    if chained and seconds > _CHAINED_SECONDS:
        raise _invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    if seconds > settings.max_session_seconds:
        raise _invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def _session_policy(text: str | None) -> Policy | None:
    if text is None:
        return None
    if len(text) > _MAX_POLICY:
        percent = len(text) * 100 // _MAX_POLICY
        message = f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
        raise ApiError(HTTPStatus.BAD_REQUEST, "PackedPolicyTooLarge", message)
    return Policy.parse(text)


def _context(exchange: Exchange, parameters: Mapping[str, str]) -> dict[str, str]:
    context = {
        "sts:rolesessionname": parameters["RoleSessionName"],
        "aws:principalarn": exchange.authenticated_caller.role_arn or exchange.authenticated_caller.arn,
        "aws:principalaccount": exchange.authenticated_caller.account,
        "aws:securetransport": str(exchange.secure).lower(),
        "aws:sourceip": exchange.request.remote or "",
    }
    if "ExternalId" in parameters:
        context["sts:externalid"] = parameters["ExternalId"]
    if "SourceIdentity" in parameters:
        context["sts:sourceidentity"] = parameters["SourceIdentity"]
    context |= {f"aws:requesttag/{key.lower()}": value for key, value in _tags(parameters).items()}
    return context


def _session_xml(session: Caller, policy: str | None) -> str:
    expiration = datetime.fromtimestamp(session.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    credentials = (
        element("AccessKeyId", session.access_key_id)
        + element("SecretAccessKey", session.secret)
        + element("SessionToken", session.token)
        + element("Expiration", expiration)
    )
    user = element("AssumedRoleId", session.user_id) + element("Arn", session.arn)
    packed = element("PackedPolicySize", len(policy) * 100 // _MAX_POLICY) if policy else ""
    return f"<AssumedRoleUser>{user}</AssumedRoleUser><Credentials>{credentials}</Credentials>{packed}"
