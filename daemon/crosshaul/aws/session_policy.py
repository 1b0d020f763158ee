"""Session policy that limits each assumed session to the needs of its destination (``session_policy: auto``)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from crosshaul.config import Destination
from crosshaul.config.object_place import partition_of_region
from crosshaul.errors import Diagnosis, Fault, FaultKind

_MAX_CHARACTERS = 2048
"""Limit of an inline session policy (STS API reference, AssumeRole, Policy)."""


def session_policies(destination: Destination) -> tuple[str | None, ...]:
    """Return the inline session policies for AssumeRole in order of preference, as compact JSON; None: no policy.

    The next one is for a policy that STS finds too large (PackedPolicyTooLarge). Blocks; raises Fault for an unreadable
    file. A session policy never adds permissions (IAM user guide, "Session policies"), so it may list permissions that
    the role lacks (Abort, ListParts).
    """
    match destination.session_policy:
        case "none":
            return (None,)
        case Path() as path:
            return (_from_file(path),)
        case _:
            return tuple(dict.fromkeys((_within_limit(destination), _compact(_limited_policy(destination, "")))))


def _within_limit(destination: Destination) -> str:
    """Return the policy for the longest part of the prefix that fits; a shorter prefix covers more keys."""
    prefix = destination.key_prefix
    while len(text := _compact(_limited_policy(destination, prefix))) > _MAX_CHARACTERS:
        prefix = prefix[: -max(1, (len(text) - _MAX_CHARACTERS) // _MAX_ESCAPED_CHARACTERS)]
    return text


_MAX_ESCAPED_CHARACTERS = len(json.dumps("\N{GRINNING FACE}")) - 2
"""JSON characters of one character of a prefix, at most."""


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _limited_policy(destination: Destination, prefix: str) -> dict[str, Any]:
    actions = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    if destination.tags:
        actions.append("s3:PutObjectTagging")
    if destination.acl:
        actions.append("s3:PutObjectAcl")
    objects = objects_of(destination, prefix)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": objects},
            {
                # The bucket's default encryption may need the key, whatever the destination sets. Only KMS calls have
                # kms:ViaService. NotAction, because Ceph's gateway refuses a policy with kms: actions.
                "Effect": "Allow",
                "NotAction": "s3:*",
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com*"}},
            },
        ],
    }


def partition_of(destination: Destination) -> str:
    """Return a destination's AWS partition, such as ``aws`` or ``aws-cn``; ``aws`` for other stores."""
    given = (destination.role_arn or "").split(":")
    if len(given) > 1 and re.fullmatch(r"aws(-[a-z]+)*", given[1]):
        return given[1]
    return partition_of_region(destination.region)


def objects_of(destination: Destination, prefix: str | None = None) -> str:
    """Return the policy resource of all keys below ``prefix`` (default: the destination's), with wildcards escaped."""
    prefix = destination.key_prefix if prefix is None else prefix
    return f"arn:{partition_of(destination)}:s3:::{destination.bucket}/{_literal(prefix)}*"


def _literal(prefix: str) -> str:
    """Return ``prefix`` with IAM's wildcards and variables escaped (IAM user guide, "Policy variables")."""
    return "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(character, character) for character in prefix)


def _from_file(path: Path) -> str:
    try:
        return _compact(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        text = f"can't read the session policy {path}: {error}"
        advice = "Set `session_policy` to a readable JSON file, `auto` or `none`."
        raise Fault(Diagnosis(FaultKind.DESTINATION, "SessionPolicy", text, "AssumeRole", advice=advice)) from error
