"""Evaluation of policy documents."""

from __future__ import annotations

import pytest

from crosshaul.partner.errors import ApiError
from crosshaul.partner.policy import AccessRequest, Policy, Verdict

KEY = "arn:aws:s3:::bucket/in/a b"


def verdict(context=None, principals=(), denials=(), **statement):
    policy = Policy({"Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*", **statement}})
    request = AccessRequest("s3:PutObject", KEY, context or {}, frozenset(principals), frozenset(denials))
    return policy.verdict(request) is not Verdict.NO_MATCH


@pytest.mark.parametrize(
    ("statement", "applies"),
    [
        ({"Action": "*"}, True),
        ({"Action": "S3:put*"}, True),
        ({"Action": ["s3:GetObject", "s3:PutObjec?"]}, True),
        ({"Action": "s3:Put"}, False),
        ({"Resource": "arn:aws:s3:::bucket/*"}, True),
        ({"Resource": "arn:aws:s3:::bucket/in/?*b"}, True),
        ({"Resource": "arn:aws:s3:::bucket"}, False),
        ({"Resource": "arn:aws:s3:::BUCKET/*"}, False),
    ],
)
def test_actions_and_resources(statement, applies):
    """Wildcards match any characters, actions in any case, resources in their own."""
    assert verdict(**statement) is applies


def test_what_is_not_named():
    """NotAction and NotResource match what they don't name."""
    for names, applies in ((["s3:Get*"], True), (["s3:*"], False)):
        policy = Policy({"Statement": [{"Effect": "Allow", "NotAction": names, "Resource": "*"}]})
        assert (policy.verdict(AccessRequest("s3:PutObject", KEY, {})) is Verdict.ALLOW) is applies
    policy = Policy({"Statement": [{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::bucket/in/*"}]})
    assert policy.verdict(AccessRequest("s3:PutObject", KEY, {})) is Verdict.NO_MATCH


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "applies"),
    [
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", "a", None, False),
        ("StringEqualsIfExists", "a", None, True),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", "a", None, True),
        ("StringLike", "a*c", "abc", True),
        ("StringNotLike", "a*c", "abc", False),
        ("ArnLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/x", True),
        ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/x", False),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("Null", "true", None, True),
        ("Null", "true", "a", False),
        ("NumericLessThan", 10, "9.5", True),
        ("NumericGreaterThanEquals", "10", "9", False),
        ("DateLessThan", "2030-01-01T00:00:00Z", "1700000000", True),
        ("DateGreaterThan", "2030-01-01T00:00:00Z", "1700000000", False),
    ],
)
def test_conditions(operator, wanted, given, applies):
    """Each operator compares as IAM's documentation says, with a missing key as with a present one."""
    context = {} if given is None else {"the:key": given}
    assert verdict(context, Condition={operator: {"The:Key": wanted}}) is applies


def test_every_condition_must_hold():
    """Several keys and operators are joined by and."""
    both = {"StringEquals": {"a": "1", "b": "2"}, "Bool": {"c": "true"}}
    assert verdict({"a": "1", "b": "2", "c": "true"}, Condition=both)
    assert not verdict({"a": "1", "b": "2", "c": "false"}, Condition=both)
    assert not verdict({"a": "1", "c": "true"}, Condition=both)


def test_a_deny_wins_wherever_it_stands():
    """Deny wins over Allow, before or after it; nothing is allowed by default."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}
    request = AccessRequest("s3:PutObject", KEY, {})
    for statements in ([allow, deny], [deny, allow]):
        assert Policy({"Statement": statements}).verdict(request) is Verdict.DENY
    assert Policy(None).verdict(request) is Verdict.NO_MATCH


def test_principals():
    """An account's root in a resource policy denies all its principals, and allows only those of other accounts."""
    root = {"AWS": "arn:aws:iam::1:root"}
    assert verdict(Principal="*", principals=["*"])
    assert not verdict(Principal=root, principals=["arn:aws:iam::1:role/x"], denials=["arn:aws:iam::1:root"])
    assert verdict(Effect="Deny", Principal=root, denials=["arn:aws:iam::1:root"])
    assert not verdict(NotPrincipal=root, denials=["arn:aws:iam::1:root"])


@pytest.mark.parametrize(
    "statement",
    [{"Effect": "Perhaps"}, {"Colour": "blue"}, {"Condition": {"StringSounds": {"a": "b"}}}],
)
def test_a_malformed_document_is_refused(statement):
    """Unknown effects, elements and operators are MalformedPolicyDocument."""
    with pytest.raises(ApiError, match="MalformedPolicyDocument"):
        verdict(**statement)
