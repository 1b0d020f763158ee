"""Render the documents as CloudFormation templates. Pure."""

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
    as_comment,
    camel,
    plain,
    role_of,
    session_length,
    substitute,
    variables_of,
)

_REFERENCE = "{{resolve:"
"""The start of a dynamic reference, which CloudFormation resolves in any string."""


def cloudformation(
    documents: Sequence[MergedDocument], party: Party, *, replace_bucket_policy: bool = False
) -> dict[str, Any]:
    """Return the template of one account, in JSON's types.

    Documents for existing resources (bucket policy, lifecycle, key policy) are outputs, to be merged by hand.
    """
    mine = [merged for merged in documents if merged.party is party]
    writer = _TemplateWriter()
    for merged in mine:
        writer.add(merged, mine, replace_bucket_policy=replace_bucket_policy)
    # A template needs at least one resource; this one creates nothing.
    resources = writer.resources or {"NothingToCreate": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The permissions that Crosshaul needs in {party}",
        "Parameters": {writer.parameter(variable): _parameter(variable) for variable in variables_of(mine)},
        "Resources": resources,
        "Outputs": writer.outputs,
    }
    return {key: value for key, value in template.items() if value}


def _parameter(variable: Variable) -> dict[str, Any]:
    return {"Type": "String", "Description": variable.description, **({"NoEcho": True} if variable.secret else {})}


class _TemplateWriter:
    def __init__(self) -> None:
        self._names = Names(camel)
        self.resources: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}

    def parameter(self, variable: Variable) -> str:
        """Return the parameter name of a variable."""
        return self._names.of("name", variable.name)

    def add(self, merged: MergedDocument, documents: Iterable[MergedDocument], *, replace_bucket_policy: bool) -> None:
        """Add the resource or output of a document."""
        document, name = merged.document, merged.first.name
        properties: dict[str, Any]
        match document.name:
            case "identity-policy":
                properties = {"ManagedPolicyName": f"crosshaul-{name}", "PolicyDocument": document.content()}
                self._add("AWS::IAM::ManagedPolicy", f"identity-{name}", [document], properties)
            case "trust-policy":
                role = merged.first.role_arn
                rights = [
                    other.document
                    for other in documents
                    if other.name == "role-policy" and other.first.role_arn == role
                ]
                self._add("AWS::IAM::Role", f"role-{name}", [document, *rights], _role(merged, rights))
            case "role-policy" if any(other.name == "trust-policy" for other in documents):
                pass  # is part of the role
            case "role-policy":
                properties = {"RoleName": role_of(merged.first)[1], "PolicyName": "crosshaul"}
                properties["PolicyDocument"] = document.content()
                self._add("AWS::IAM::RolePolicy", f"rights-{name}", [document], properties)
            case "bucket-policy" if replace_bucket_policy:
                properties = {"Bucket": merged.first.bucket, "PolicyDocument": document.content()}
                self._add("AWS::S3::BucketPolicy", f"bucket-{name}", [document], properties, {"Warning": REPLACES})
            case _:
                value = json.dumps(plain(document.content()))
                described = f"{as_comment(document.reason)} {MERGE}"
                output = {"Description": described, "Value": _text(value)}
                self.outputs[self._names.of("output", f"{name}-{document.name}")] = output

    def _add(
        self,
        kind: str,
        name: str,
        policy_documents: Iterable[PolicyDocument],
        properties: Mapping[str, Any],
        more: Mapping[str, str] | None = None,
    ) -> None:
        reasons = {
            statement.sid: as_comment(statement.reason)
            for document in policy_documents
            for statement in document.statements
        }
        self.resources[self._names.of("name", name)] = {
            "Type": kind,
            "Metadata": {**(more or {}), "Reasons": reasons},
            "Properties": substitute(properties, lambda variable: {"Ref": self.parameter(variable)}, _text),
        }


def _role(merged: MergedDocument, rights: Iterable[PolicyDocument]) -> dict[str, Any]:
    path, name = role_of(merged.first)
    return {
        "RoleName": name,
        "Path": path,
        "MaxSessionDuration": session_length(merged),
        "AssumeRolePolicyDocument": merged.content(),
        "Policies": [{"PolicyName": "crosshaul", "PolicyDocument": document.content()} for document in rights],
    }


def _text(text: str) -> object:
    """Escape a string so that CloudFormation resolves nothing in it."""
    if _REFERENCE not in text:
        return text
    first, *rest = text.split(_REFERENCE)
    parts = [first]
    for part in rest:
        parts += ["{", _REFERENCE[1:], part]
    return {"Fn::Join": ["", [part for part in parts if part]]}
