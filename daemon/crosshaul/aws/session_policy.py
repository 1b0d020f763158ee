"""The session policy that narrows each assumed session to what its destination needs (``session_policy: auto``)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from crosshaul.config import Destination
from crosshaul.config.place import partition_of_region
from crosshaul.errors import Diagnosis, Fault, FaultKind

_LONGEST = 2048
"""Characters of an inline session policy (STS API reference, AssumeRole, Policy)."""


def session_policies(destination: Destination) -> tuple[str | None, ...]:
    """The inline session policies to ask AssumeRole for, in order, as compact JSON; None = none.

    The next is for where STS finds one too large (PackedPolicyTooLarge). Blocks; raises Fault where its file is no use.

    A session policy only ever takes away (IAM user guide, "Session policies"), so rights that the role may not have
    (Abort, ListParts) can stand here and do no harm.
    """
    match destination.session_policy:
        case "none":
            return (None,)
        case Path() as path:
            return (_from_file(path),)
        case _:
            return tuple(dict.fromkeys((_fitting(destination), _compact(_narrowed(destination, "")))))


def _fitting(destination: Destination) -> str:
    """The policy for as much of the prefix as there is room for: to a cut one the same keys belong, and more."""
    prefix = destination.key_prefix
    while len(text := _compact(_narrowed(destination, prefix))) > _LONGEST:
        prefix = prefix[: -max(1, (len(text) - _LONGEST) // _WIDEST)]
    return text


_WIDEST = len(json.dumps("\N{GRINNING FACE}")) - 2
"""Characters that one character of a prefix may take."""


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _narrowed(destination: Destination, prefix: str) -> dict[str, Any]:
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
                # The bucket's own default encryption may need the key, whatever the destination asks for. Only calls to
                # KMS carry kms:ViaService; NotAction, because Ceph's gateway refuses a policy that names kms: actions.
                "Effect": "Allow",
                "NotAction": "s3:*",
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com*"}},
            },
        ],
    }


def partition_of(destination: Destination) -> str:
    """The AWS partition of a destination: ``aws``, ``aws-cn``, ``aws-us-gov`` and others; ``aws`` for other stores."""
    given = (destination.role_arn or "").split(":")
    if len(given) > 1 and re.fullmatch(r"aws(-[a-z]+)*", given[1]):
        return given[1]
    return partition_of_region(destination.region)


def objects_of(destination: Destination, prefix: str | None = None) -> str:
    """All keys below the destination's prefix (or another), as a policy's resource: nothing in it is a wildcard."""
    prefix = destination.key_prefix if prefix is None else prefix
    return f"arn:{partition_of(destination)}:s3:::{destination.bucket}/{_literal(prefix)}*"


def _literal(prefix: str) -> str:
    """``prefix`` with what IAM reads as wildcards or variables written out (IAM user guide, "Policy variables")."""
    return "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(character, character) for character in prefix)


def _from_file(path: Path) -> str:
    try:
        return _compact(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        text = f"can't read the session policy {path}: {error}"
        advice = "Set `session_policy` to a readable JSON file, `auto` or `none`."
        raise Fault(Diagnosis(FaultKind.DESTINATION, "SessionPolicy", text, "AssumeRole", advice=advice)) from error
