"""The documents as Terraform (HCL), in the form that ``terraform fmt`` leaves alone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crosshaul.trust.documents import PolicyDocument, Statement, Variable
from crosshaul.trust.findings import Party
from crosshaul.trust.merging import MergedDocument
from crosshaul.trust.rendering import MERGE, REPLACES, Names, identifier, line, needed, role_of, session_length

_STEP = "  "


class Raw(str):
    """Text that is HCL already."""

    __slots__ = ()


def terraform(plans: Sequence[MergedDocument], party: Party, *, replace_bucket_policy: bool = False) -> str:
    """One account's part as HCL. What a bucket has already is only replaced where that is asked for."""
    mine = [each for each in plans if each.piece.party is party]
    has_role = any(each.piece.name == "trust-policy" for each in mine)
    writer = _HclWriter(has_role=has_role, replace_bucket_policy=replace_bucket_policy)
    blocks = [writer.declared(each) for each in needed(mine)]
    for plan in mine:
        blocks += writer.blocks_of(plan)
    head = f"# For {party}: what Crosshaul needs there. Made by `crosshaul policy`.\n"
    return head + "\n" + "\n\n".join(blocks) + "\n"


class _HclWriter:
    def __init__(self, *, has_role: bool, replace_bucket_policy: bool) -> None:
        self._has_role = has_role
        self._names = Names(identifier)
        self._replace = replace_bucket_policy

    def declared(self, variable: Variable) -> str:
        lines = {"type": Raw("string"), "description": variable.told}
        secret = {"sensitive": True} if variable.secret else {}
        return self._block(f'variable "{self._names.of("variable", variable.name)}"', lines | secret)

    def blocks_of(self, plan: MergedDocument) -> list[str]:
        """The blocks of one document."""
        piece, to = plan.piece, plan.first
        comment = f"# {line(piece.reason)}\n"
        match piece.name:
            case "identity-policy":
                lines = {"name": f"crosshaul-{to.name}", "policy": self._policy(piece)}
                return [comment + self._resource("aws_iam_policy", plan, lines)]
            case "trust-policy":
                path, name = role_of(to)
                lines = {"name": name, "path": path, "max_session_duration": Raw(session_length(plan))}
                lines["assume_role_policy"] = self._policy(piece)
                return [comment + self._resource("aws_iam_role", plan, lines)]
            case "role-policy":
                role = Raw(f"aws_iam_role.{self._name(plan)}.id") if self._has_role else role_of(to)[1]
                lines = {"name": "crosshaul", "role": role, "policy": self._policy(piece)}
                return [comment + self._resource("aws_iam_role_policy", plan, lines)]
            case "bucket-policy" if self._replace:
                lines = {"bucket": to.bucket, "policy": self._policy(piece)}
                return [f"# {REPLACES}\n" + comment + self._resource("aws_s3_bucket_policy", plan, lines)]
            case "lifecycle" if self._replace:
                return [f"# {REPLACES}\n" + comment + self._lifecycle(plan)]
            case "lifecycle":
                return [comment + self._output(plan, Raw(f"jsonencode({self._hcl(piece.document(), 1)})"))]
            case _:
                return self._to_merge(plan, comment)

    def _name(self, plan: MergedDocument) -> str:
        return self._names.of("crosshaul", f"crosshaul_{plan.first.name}")

    def _resource(self, kind: str, plan: MergedDocument, lines: Mapping[str, Any]) -> str:
        return self._block(f'resource "{kind}" "{self._name(plan)}"', lines)

    def _to_merge(self, plan: MergedDocument, comment: str) -> list[str]:
        """A document for whoever has the policy that it belongs into, and its text."""
        name = self._names.of("document", f"crosshaul_{plan.first.name}_{plan.piece.name}")
        body = self._hcl([self._policy(plan.piece, 2)], 1)
        document = f'{comment}# {MERGE}\ndata "aws_iam_policy_document" "{name}" {{\n'
        document += f"{_STEP}source_policy_documents = {body}\n}}"
        return [document, self._output(plan, Raw(f"data.aws_iam_policy_document.{name}.json"))]

    def _output(self, plan: MergedDocument, value: Raw) -> str:
        name = self._names.of("output", f"crosshaul_{plan.first.name}_{plan.piece.name}")
        return self._block(f'output "{name}"', {"description": MERGE, "value": value})

    def _lifecycle(self, plan: MergedDocument) -> str:
        rules = "".join(self._rule(rule) for rule in plan.piece.rules)
        head = f'resource "aws_s3_bucket_lifecycle_configuration" "{self._name(plan)}"'
        return f"{head} {{\n{_STEP}bucket = {_quoted(plan.first.bucket)}\n{rules}}}"

    def _rule(self, rule: Mapping[str, Any]) -> str:
        days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        return (
            f"\n  rule {{\n    id     = {_quoted(rule['ID'])}\n    status = {_quoted(rule['Status'])}\n\n"
            f"    filter {{\n      prefix = {_quoted(rule['Filter']['Prefix'])}\n    }}\n\n"
            f"    abort_incomplete_multipart_upload {{\n      days_after_initiation = {days}\n    }}\n  }}\n"
        )

    def _policy(self, piece: PolicyDocument, depth: int = 1) -> Raw:
        document = {**piece.document(), "Statement": list(piece.statements)}
        return Raw(f"jsonencode({self._hcl(document, depth)})")

    def _block(self, head: str, lines: Mapping[str, Any]) -> str:
        return f"{head} {{\n{self._attributes(lines.items(), 1)}}}"

    def _attributes(self, items: Iterable[tuple[str, Any]], depth: int) -> str:
        """Lines ``key = value``; the signs stand below each other where values of one line follow each other."""
        done = ""
        group: list[tuple[str, str]] = []
        for key, value in items:
            written = self._hcl(value, depth)
            if "\n" in written:
                done += _aligned(group, depth) + f"{_STEP * depth}{key} = {written}\n"
                group = []
            else:
                group.append((key, written))
        return done + _aligned(group, depth)

    def _hcl(self, value: Any, depth: int) -> str:  # noqa: ANN401 - JSON with variables and statements
        match value:
            case Raw():
                return str(value)
            case Variable():
                return f"var.{self._names.of('variable', value.name)}"
            case Statement():
                return self._hcl(value.as_policy(), depth)
            case Mapping():
                quoted = ((_quoted(key), each) for key, each in value.items())
                return f"{{\n{self._attributes(quoted, depth + 1)}{_STEP * depth}}}"
            case list() | tuple():
                inner = _STEP * (depth + 1)
                lines = [f"{_comment(each, inner)}{inner}{self._hcl(each, depth + 1)},\n" for each in value]
                return f"[\n{''.join(lines)}{_STEP * depth}]"
            case str():
                return _quoted(value)
            case _:
                return json.dumps(value)


def _aligned(group: Sequence[tuple[str, str]], depth: int) -> str:
    width = max((len(key) for key, _ in group), default=0)
    return "".join(f"{_STEP * depth}{key:<{width}} = {value}\n" for key, value in group)


def _comment(value: object, indent: str) -> str:
    return f"{indent}# {line(value.reason)}\n" if isinstance(value, Statement) else ""


def _quoted(text: str) -> str:
    """A string of HCL's, in which nothing is a template or ends the string."""
    escaped = "".join(_escaped(character) for character in text)
    return '"' + re.sub(r"([$%]*)([$%])\{", _no_template, escaped) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004 - Unicode's first plane


def _no_template(found: re.Match[str]) -> str:
    before = "".join(f"\\u{ord(sign):04x}" for sign in found[1])
    return f"{before}{found[2] * 2}{{"
