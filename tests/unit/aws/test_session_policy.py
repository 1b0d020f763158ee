"""The session policy that limits each assumed session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crosshaul.aws.session_policy import session_policies
from crosshaul.config import Destination
from crosshaul.errors import Fault, FaultKind


def destination(**settings: object) -> Destination:
    arn = "arn:aws:iam::111122223333:role/r"
    return Destination.model_validate({"name": "partner", "bucket": "aniket.help", "role_arn": arn, **settings})


def policy(**settings: object) -> dict[str, Any]:
    text = session_policies(destination(**settings))[0]
    assert text is not None
    assert len(text) <= 2048
    assert text.isascii()
    parsed: dict[str, Any] = json.loads(text)
    assert json.dumps(parsed, separators=(",", ":")) == text
    return parsed


def resource(**settings: object) -> str:
    statement = policy(**settings)["Statement"][0]
    return str(statement["Resource"])


def test_it_is_no_wider_than_needed():
    """It allows put, get and multipart calls on the prefix, and the bucket's key through S3 only."""
    assert policy(key_prefix="in/") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "s3:PutObject",
                    "s3:GetObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": "arn:aws:s3:::aniket.help/in/*",
            },
            {
                "Effect": "Allow",
                "NotAction": "s3:*",
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com*"}},
            },
        ],
    }


def test_rights_of_their_own_only_where_used():
    """Only tags and an ACL add permissions."""
    actions = policy(tags={"a": "b"}, acl="bucket-owner-full-control")["Statement"][0]["Action"]
    assert actions[-2:] == ["s3:PutObjectTagging", "s3:PutObjectAcl"]


@pytest.mark.parametrize(
    ("arn", "region", "start"),
    [
        ("arn:aws-cn:iam::111122223333:role/r", "cn-north-1", "arn:aws-cn:s3:::"),
        ("arn:aws-us-gov:iam::111122223333:role/r", "us-gov-west-1", "arn:aws-us-gov:s3:::"),
    ],
)
def test_the_partition_is_the_roles(arn, region, start):
    """In China and GovCloud the bucket's ARN has the role's partition."""
    assert resource(role_arn=arn, region=region).startswith(start)


def test_wildcards_in_a_prefix_are_plain_characters():
    """IAM's wildcards and variables in a prefix are escaped."""
    assert resource(key_prefix="a*b?c${aws:username}/") == "arn:aws:s3:::aniket.help/a${*}b${?}c${$}{aws:username}/*"


@pytest.mark.parametrize("character", ["x", "*", "é", "中", "\N{GRINNING FACE}", '"', "\\"])
def test_a_long_prefix_is_cut_to_fit(character):
    """The longest prefixes give a valid policy within STS's limit, for the part of the prefix that fits."""
    settings = {"bucket": "b" * 63, "tags": {"a": "b"}, "acl": "private"}
    prefix = character * (1000 // len(character.encode())) + "/"
    allowed = resource(key_prefix=prefix, **settings)
    given = allowed.removeprefix(f"arn:aws:s3:::{'b' * 63}/").removesuffix("*").replace("${*}", "*")
    assert prefix.startswith(given)
    assert len(session_policies(destination(key_prefix=prefix, **settings))[0] or "") > 2048 - 13 or given == prefix


def test_none_is_none():
    """``none`` sends no policy."""
    assert session_policies(destination(session_policy="none")) == (None,)


def test_a_file_is_sent_compact(tmp_path: Path):
    """A policy file is read as UTF-8 and sent without its blanks."""
    file = tmp_path / "policy.json"
    file.write_text('{\n  "Version": "2012-10-17",\n  "Statement": ["é"]\n}', "utf-8")
    (sent,) = session_policies(destination(session_policy=str(file)))
    assert sent == '{"Version":"2012-10-17","Statement":["\\u00e9"]}'


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_cannot_be_used(tmp_path: Path, content):
    """A missing, invalid or endless file is a fault that names it and the remedy."""
    file = tmp_path / "policy.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Fault, match="readable JSON file") as caught:
        session_policies(destination(session_policy=str(file)))
    assert caught.value.kind is FaultKind.DESTINATION
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
