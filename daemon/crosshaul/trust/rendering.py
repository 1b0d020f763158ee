"""The documents as JSON, Terraform (HCL) and CloudFormation. Pure.

A value that is not known, or secret, becomes a variable of the language's own kind; in JSON a text in angle brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crosshaul.config import Destination
from crosshaul.trust.documents import Piece, Statement, Variable
from crosshaul.trust.findings import Party

_LEAST_SESSION = 3600
Plan = tuple[Destination, Sequence[Piece]]


def variables(value: object) -> Iterator[Variable]:
    """Every variable in a document."""
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from variables(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from variables(each)


def _with(value: Any, put: Any) -> Any:  # noqa: ANN401 - JSON, and what stands for a variable
    """``value`` with ``put(variable)`` for each variable."""
    if isinstance(value, Variable):
        return put(value)
    if isinstance(value, Mapping):
        return {key: _with(each, put) for key, each in value.items()}
    return [_with(each, put) for each in value] if isinstance(value, (list, tuple)) else value


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """In JSON's types."""
    return dict(_with(document, lambda variable: f"<{variable.told}>"))


def as_json(plans: Iterable[Plan]) -> dict[str, Any]:
    """Destination -> account -> document, each with its reasons."""
    told: dict[str, Any] = {}
    for destination, found in plans:
        accounts = told.setdefault(destination.name, {})
        for piece in found:
            reasons = {each.sid: each.reason for each in piece.statements}
            whole = {"reason": piece.reason, "reasons": reasons, "document": plain(piece.document())}
            accounts.setdefault(_account(piece.party), {})[piece.name] = whole
    return told


def _account(party: Party) -> str:
    return "account_a" if party is Party.A else "account_b"


def _resource_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name if name[:1].isalpha() else f"_{name}")


def _role_of(destination: Destination) -> tuple[str, str]:
    """The role's path and name."""
    *path, name = (destination.role_arn or "role/").split(":role/", 1)[-1].split("/")
    return "/" + "".join(f"{each}/" for each in path), name


def _session_length(destination: Destination) -> int:
    return max(_LEAST_SESSION, destination.duration_seconds)


# Terraform


def terraform(plans: Sequence[Plan], party: Party) -> str:
    """One account's part as HCL."""
    head = f"# For {party}: what Crosshaul needs there. Made by `crosshaul policy`.\n"
    mine = [(to, [each for each in found if each.party is party]) for to, found in plans]
    blocks = [_declared(each) for each in _needed(mine)]
    for destination, found in mine:
        blocks += [_TERRAFORM[piece.name](destination, piece) for piece in found]
    return head + "\n" + "\n\n".join(blocks) + "\n"


def _needed(plans: Sequence[Plan]) -> list[Variable]:
    return list(dict.fromkeys(each for _, found in plans for piece in found for each in variables(piece.document())))


def _declared(variable: Variable) -> str:
    secret = "\n  sensitive   = true" if variable.secret else ""
    return f'variable "{variable.name}" {{\n  type        = string\n  description = {_hcl(variable.told)}{secret}\n}}'


def _hcl(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - JSON with variables and statements
    inner, outer = "  " * (depth + 1), "  " * depth
    match value:
        case Variable():
            return f"var.{value.name}"
        case Statement():
            return _hcl(value.as_policy(), depth)
        case Mapping():
            lines = [f"{inner}{json.dumps(key)} = {_hcl(each, depth + 1)}\n" for key, each in value.items()]
            return "{\n" + "".join(lines) + outer + "}"
        case list() | tuple():
            lines = [f"{_commented(each, inner)}{inner}{_hcl(each, depth + 1)},\n" for each in value]
            return "[\n" + "".join(lines) + outer + "]"
        case _:
            # Terraform would take these two for templates of its own.
            return json.dumps(value).replace("${", "$${").replace("%{", "%%{")


def _commented(value: object, indent: str) -> str:
    return f"{indent}# {value.reason}\n" if isinstance(value, Statement) else ""


def _policy(piece: Piece, depth: int) -> str:
    document = {**piece.document(), "Statement": list(piece.statements)}
    return f"jsonencode({_hcl(document, depth)})"


def _block(piece: Piece, kind: str, name: str, lines: Mapping[str, str]) -> str:
    width = max(map(len, lines))
    body = "".join(f"  {key:<{width}} = {value}\n" for key, value in lines.items())
    return f'# {piece.reason}\nresource "{kind}" "{_resource_name(name)}" {{\n{body}}}'


def _tf_identity(to: Destination, piece: Piece) -> str:
    lines = {"name": _hcl(f"crosshaul-{to.name}"), "policy": _policy(piece, 1)}
    return _block(piece, "aws_iam_policy", f"crosshaul_{to.name}", lines)


def _tf_trust(to: Destination, piece: Piece) -> str:
    path, name = _role_of(to)
    lines = {
        "name": _hcl(name),
        "path": _hcl(path),
        "max_session_duration": str(_session_length(to)),
        "assume_role_policy": _policy(piece, 1),
    }
    return _block(piece, "aws_iam_role", f"crosshaul_{to.name}", lines)


def _tf_role(to: Destination, piece: Piece) -> str:
    role = f"aws_iam_role.{_resource_name(f'crosshaul_{to.name}')}.id"
    lines = {"name": _hcl("crosshaul"), "role": role, "policy": _policy(piece, 1)}
    return _block(piece, "aws_iam_role_policy", f"crosshaul_{to.name}", lines)


def _tf_bucket(to: Destination, piece: Piece) -> str:
    lines = {"bucket": _hcl(to.bucket), "policy": _policy(piece, 1)}
    return _block(piece, "aws_s3_bucket_policy", f"crosshaul_{to.name}", lines)


def _tf_by_hand(to: Destination, piece: Piece) -> str:
    """A statement to add to a policy that belongs to somebody else's module: given out, for that one to take."""
    name = _resource_name(f"crosshaul_{to.name}_{piece.name}")
    return f'# {piece.reason}\noutput "{name}" {{\n  value = {_policy(piece, 1)}\n}}'


def _tf_lifecycle(to: Destination, piece: Piece) -> str:
    rule = piece.rules[0]
    days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
    return (
        f"# {piece.reason}\n"
        f'resource "aws_s3_bucket_lifecycle_configuration" "{_resource_name(f"crosshaul_{to.name}")}" '
        f"{{\n  bucket = {_hcl(to.bucket)}\n\n  rule {{\n    id     = {_hcl(rule['ID'])}\n    status = "
        f"{_hcl(rule['Status'])}\n\n    filter {{\n      prefix = {_hcl(rule['Filter']['Prefix'])}\n    }}\n\n"
        f"    abort_incomplete_multipart_upload {{\n      days_after_initiation = {days}\n    }}\n  }}\n}}"
    )


_TERRAFORM = {
    "identity-policy": _tf_identity,
    "trust-policy": _tf_trust,
    "role-policy": _tf_role,
    "key-policy": _tf_by_hand,
    "bucket-policy": _tf_bucket,
    "lifecycle": _tf_lifecycle,
}


# CloudFormation


def cloudformation(plans: Sequence[Plan], party: Party) -> dict[str, Any]:
    """One account's part as a template, in JSON's types."""
    mine = [(to, [each for each in found if each.party is party]) for to, found in plans]
    template: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"For {party}: what Crosshaul needs there",
        "Parameters": {_camel(each.name): _parameter(each) for each in _needed(mine)},
        "Resources": {},
        "Outputs": {},
    }
    for destination, found in mine:
        by_name = {piece.name: piece for piece in found}
        _add_resources(template, destination, by_name)
        for name in ("key-policy", "lifecycle"):
            if name in by_name:
                _add_output(template, destination, by_name[name])
    return {key: value for key, value in template.items() if value}


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def _parameter(variable: Variable) -> dict[str, Any]:
    return {"Type": "String", "Description": variable.told, **({"NoEcho": True} if variable.secret else {})}


def _resource(kind: str, pieces: Iterable[Piece], properties: Mapping[str, Any]) -> dict[str, Any]:
    reasons = {each.sid: each.reason for piece in pieces for each in piece.statements}
    filled = _with(properties, lambda variable: {"Ref": _camel(variable.name)})
    return {"Type": kind, "Metadata": {"Reasons": reasons}, "Properties": filled}


def _add_resources(template: dict[str, Any], to: Destination, found: Mapping[str, Piece]) -> None:
    resources, name = template["Resources"], _camel(to.name)
    if (identity := found.get("identity-policy")) is not None:
        properties = {"ManagedPolicyName": f"crosshaul-{to.name}", "PolicyDocument": identity.document()}
        resources[f"Identity{name}"] = _resource("AWS::IAM::ManagedPolicy", [identity], properties)
    if (trust := found.get("trust-policy")) is not None:
        resources[f"Role{name}"] = _role_resource(to, trust, found["role-policy"])
    if (policy := found.get("bucket-policy")) is not None:
        properties = {"Bucket": to.bucket, "PolicyDocument": policy.document()}
        resources[f"Bucket{name}"] = _resource("AWS::S3::BucketPolicy", [policy], properties)


def _role_resource(to: Destination, trust: Piece, rights: Piece) -> dict[str, Any]:
    path, name = _role_of(to)
    return _resource(
        "AWS::IAM::Role",
        [trust, rights],
        {
            "RoleName": name,
            "Path": path,
            "MaxSessionDuration": _session_length(to),
            "AssumeRolePolicyDocument": trust.document(),
            "Policies": [{"PolicyName": "crosshaul", "PolicyDocument": rights.document()}],
        },
    )


def _add_output(template: dict[str, Any], to: Destination, piece: Piece) -> None:
    """What a template can't change of something that is there already: given out, to be added by hand."""
    value = json.dumps(plain(piece.document()))
    template["Outputs"][_camel(f"{to.name}-{piece.name}")] = {"Description": piece.reason, "Value": value}
