"""The documents as CloudFormation templates. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crosshaul.trust.documents import PolicyDocument, Variable
from crosshaul.trust.findings import Party
from crosshaul.trust.merging import MergedDocument
from crosshaul.trust.rendering import (
    MERGE,
    REPLACES,
    Names,
    camel,
    filled,
    line,
    needed,
    plain,
    role_of,
    session_length,
)

_REFERENCE = "{{resolve:"
"""Begins what CloudFormation looks up elsewhere, in any string."""


def cloudformation(
    plans: Sequence[MergedDocument], party: Party, *, replace_bucket_policy: bool = False
) -> dict[str, Any]:
    """One account's part as a template, in JSON's types.

    What can't be changed of something that is there already (a bucket's policy, its lifecycle, a key's policy) is an
    output, to be merged by hand.
    """
    mine = [each for each in plans if each.piece.party is party]
    writer = _TemplateWriter()
    for plan in mine:
        writer.add(plan, mine, replace_bucket_policy=replace_bucket_policy)
    # A template without a resource is none; this one makes nothing.
    resources = writer.resources or {"NothingToMake": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"For {party}: what Crosshaul needs there",
        "Parameters": {writer.parameter(each): _parameter(each) for each in needed(mine)},
        "Resources": resources,
        "Outputs": writer.outputs,
    }
    return {key: value for key, value in template.items() if value}


def _parameter(variable: Variable) -> dict[str, Any]:
    return {"Type": "String", "Description": variable.told, **({"NoEcho": True} if variable.secret else {})}


class _TemplateWriter:
    def __init__(self) -> None:
        self._names = Names(camel)
        self.resources: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}

    def parameter(self, variable: Variable) -> str:
        """The name of a variable's parameter."""
        return self._names.of("name", variable.name)

    def add(self, plan: MergedDocument, plans: Iterable[MergedDocument], *, replace_bucket_policy: bool) -> None:
        """Add what becomes of one document."""
        piece, name = plan.piece, plan.first.name
        properties: dict[str, Any]
        match piece.name:
            case "identity-policy":
                properties = {"ManagedPolicyName": f"crosshaul-{name}", "PolicyDocument": piece.document()}
                self._add("AWS::IAM::ManagedPolicy", f"identity-{name}", [piece], properties)
            case "trust-policy":
                role = plan.first.role_arn
                rights = [each.piece for each in plans if each.piece.name == "role-policy"
                          and each.first.role_arn == role]  # fmt: skip
                self._add("AWS::IAM::Role", f"role-{name}", [piece, *rights], _role(plan, rights))
            case "role-policy" if any(each.piece.name == "trust-policy" for each in plans):
                pass  # stands in its role
            case "role-policy":
                properties = {"RoleName": role_of(plan.first)[1], "PolicyName": "crosshaul"}
                properties["PolicyDocument"] = piece.document()
                self._add("AWS::IAM::RolePolicy", f"rights-{name}", [piece], properties)
            case "bucket-policy" if replace_bucket_policy:
                properties = {"Bucket": plan.first.bucket, "PolicyDocument": piece.document()}
                self._add("AWS::S3::BucketPolicy", f"bucket-{name}", [piece], properties, {"Warning": REPLACES})
            case _:
                value = json.dumps(plain(piece.document()))
                described = f"{line(piece.reason)} {MERGE}"
                output = {"Description": described, "Value": _text(value)}
                self.outputs[self._names.of("output", f"{name}-{piece.name}")] = output

    def _add(
        self,
        kind: str,
        name: str,
        pieces: Iterable[PolicyDocument],
        properties: Mapping[str, Any],
        more: Mapping[str, str] | None = None,
    ) -> None:
        reasons = {each.sid: line(each.reason) for piece in pieces for each in piece.statements}
        self.resources[self._names.of("name", name)] = {
            "Type": kind,
            "Metadata": {**(more or {}), "Reasons": reasons},
            "Properties": filled(properties, lambda variable: {"Ref": self.parameter(variable)}, _text),
        }


def _role(plan: MergedDocument, rights: Iterable[PolicyDocument]) -> dict[str, Any]:
    path, name = role_of(plan.first)
    return {
        "RoleName": name,
        "Path": path,
        "MaxSessionDuration": session_length(plan),
        "AssumeRolePolicyDocument": plan.piece.document(),
        "Policies": [{"PolicyName": "crosshaul", "PolicyDocument": each.document()} for each in rights],
    }


def _text(text: str) -> object:
    """A string as CloudFormation takes it, in which nothing is looked up elsewhere."""
    if _REFERENCE not in text:
        return text
    parts = text.split(_REFERENCE)
    pieces = [parts[0]]
    for part in parts[1:]:
        pieces += ["{", _REFERENCE[1:], part]
    return {"Fn::Join": ["", [each for each in pieces if each]]}
