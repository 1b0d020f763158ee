"""Policy documents of several destinations, of other partitions, and of hostile configurations."""

from __future__ import annotations

import json
import re
from typing import Any

import hcl2
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crosshaul.aws.object_headers import CHECK_KEY
from crosshaul.config import Destination
from crosshaul.config.yaml_document import dump
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.trust.cloudformation import cloudformation
from crosshaul.trust.diagnosis import Evidence, advise
from crosshaul.trust.documents import PolicyRequest, Variable, principal_of
from crosshaul.trust.findings import Party
from crosshaul.trust.merging import merge
from crosshaul.trust.rendering import plain
from crosshaul.trust.terraform import quoted, terraform

ROLE = "arn:aws:iam::222222222222:role/partner-upload"
WHO = "arn:aws:iam::111111111111:root"


def request(name="partner", bucket="inbox", who=WHO, never=False, ids=("an-id",), **more):
    given = {"name": name, "bucket": bucket, "region": "us-east-1", "role_arn": ROLE, "external_id": "an-id"}
    return PolicyRequest(Destination(**(given | more)), who, ids, never_overwrites=never)


def documents(*requests):
    """Return the documents of this name, in JSON's types, by name."""
    found: dict[str, list[Any]] = {}
    for merged in merge(requests):
        found.setdefault(merged.name, []).append(plain(merged.content()))
    return found


# Several destinations


def test_destinations_that_share_a_role_and_a_bucket_have_each_document_once():
    """Two prefixes of one bucket and role share trust, role and bucket policy, and have two lifecycle rules."""
    found = documents(request("one", key_prefix="one/"), request("two", key_prefix="two/"))
    assert {name: len(each) for name, each in found.items()} == {
        "identity-policy": 1, "trust-policy": 1, "role-policy": 1, "bucket-policy": 1, "lifecycle": 1,
    }  # fmt: skip
    (rights,) = found["role-policy"]
    assert [each["Resource"] for each in rights["Statement"]] == [
        ["arn:aws:s3:::inbox/one/*", "arn:aws:s3:::inbox/two/*"]
    ] * 2
    (rules,) = found["lifecycle"]
    assert [each["Filter"]["Prefix"] for each in rules["Rules"]] == ["one/", "two/"]
    assert len({each["ID"] for each in rules["Rules"]}) == 2
    (trust,) = found["trust-policy"]
    assert len(trust["Statement"]) == 1


def test_statements_that_differ_keep_names_of_their_own():
    """Two external IDs for one role are two statements, and no two statements of a policy have one Sid."""
    found = documents(request("one", ids=("an-id",)), request("two", ids=("another",), tags={"a": "b"}))
    (trust,) = found["trust-policy"]
    assert [each["Sid"] for each in trust["Statement"]] == ["TrustAccountA", "TrustAccountA2"]
    for policies in found.values():
        for policy in policies:
            sids = [each["Sid"] for each in policy.get("Statement", [])]
            assert len(sids) == len(set(sids))


def test_never_overwriting_one_prefix_leaves_the_other_alone():
    """If one role may overwrite below one prefix only, the policy forbids it below the other only."""
    found = documents(request("one", key_prefix="one/", never=True), request("two", key_prefix="two/"))
    (policy,) = found["bucket-policy"]
    (deny,) = [each for each in policy["Statement"] if each["Sid"] == "NeverOverwrite"]
    assert deny["NotResource"] == [f"arn:aws:s3:::inbox/one/{CHECK_KEY}", "arn:aws:s3:::inbox/two/*"]
    found = documents(request("one", key_prefix="one/", never=True), request("two", key_prefix="two/", never=True))
    (policy,) = found["bucket-policy"]
    (deny,) = [each for each in policy["Statement"] if each["Sid"] == "NeverOverwrite"]
    assert deny["NotResource"] == [f"arn:aws:s3:::inbox/one/{CHECK_KEY}", f"arn:aws:s3:::inbox/two/{CHECK_KEY}"]


NAMES = ("partner-a", "partnerA", "partner.a", "p.a", "p-a", "p_a", "1a", "1-a")


def several():
    return [
        request(
            name,
            f"bucket-{number}",
            ids=(Variable(f"external_id_{name}", "the external ID", secret=True),),
            role_arn=f"{ROLE}-{number}",
        )
        for number, name in enumerate(NAMES)
    ]


def test_names_that_fold_together_stay_apart():
    """Destinations whose names differ only in punctuation or case have different identifiers."""
    plans = merge(several())
    text = terraform(plans, Party.B, replace_bucket_policy=True)
    hcl2.loads(text)
    declared = re.findall(r'^(resource "\w+" "\S+"|variable "\S+"|output "\S+"|data "\w+" "\S+")', text, re.MULTILINE)
    assert len(declared) == len(set(declared)) == 5 * len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z_]\w*", each.split('"')[-2]) for each in declared)
    template = cloudformation(plans, Party.B, replace_bucket_policy=True)
    roles = [each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    assert len(roles) == len(template["Parameters"]) == len(NAMES)
    assert len([each for each in template["Resources"].values() if each["Type"] == "AWS::S3::BucketPolicy"]) == len(
        NAMES
    )
    names = [*template["Parameters"], *template["Resources"]]
    assert len(names) == len(set(names))
    assert all(each.isalnum() for each in [*names, *template["Outputs"]])
    ids = [json.dumps(each["Properties"]["AssumeRolePolicyDocument"]) for each in roles]
    assert len(set(ids)) == len(NAMES)


# Partitions


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "eu-central-1"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1")]
)
@pytest.mark.parametrize("direct", [False, True])
def test_every_arn_is_of_the_role_s_partition(partition, region, direct):
    """Documents, principals, advice and partner message have ARNs of one partition only."""
    role = {} if direct else {"role_arn": f"arn:{partition}:iam::222222222222:role/up", "external_id": "an-id"}
    more = {"role_arn": None, "external_id": None} | role
    who = principal_of("111111111111", partition, custom=False)
    made = request(who=who, never=True, ids=() if direct else ("an-id",), region=region, **more)
    texts = [json.dumps(plain(merged.content())) for merged in merge([made])]
    error = Diagnosis(FaultKind.DESTINATION, "AccessDenied", "Access Denied", "PutObject", 403)
    advice = advise(Evidence(made.destination, error, ("identity", "assume_role"), who))
    texts.append(str(advice))
    assert set(re.findall(r"arn:([a-z-]*):", "".join(texts))) == {partition}


def test_a_prefix_with_braces_breaks_no_advice():
    """Advice contains the resource unchanged when the prefix has braces."""
    to = request(key_prefix="{x}/{0}/*").destination
    error = Diagnosis(FaultKind.DESTINATION, "AccessDenied", "Access Denied", "PutObject", 403)
    assert "inbox/{x}/{0}/${*}/*" in str(advise(Evidence(to, error, ("identity", "assume_role"), WHO)))


# Hostile text


def test_wildcards_in_a_prefix_are_none_in_a_policy():
    """A star, a question mark and a variable in key_prefix are literal in every statement."""
    made = request(key_prefix="a*b?c${aws:username}/", never=True)
    text = json.dumps(documents(made)["role-policy"] + documents(made)["bucket-policy"])
    assert "inbox/a${*}b${?}c${$}{aws:username}/*" in text
    assert "inbox/a${*}b${?}c${$}{aws:username}/" + CHECK_KEY in text
    assert "a*b" not in text


EVIL = st.one_of(
    st.text(min_size=1, max_size=60),
    st.sampled_from(
        [
            '"\n}\nresource "aws_iam_user" "evil" {\n name = "evil"\n}\n#',
            'x\r\nresource "aws_iam_user" "evil" {}',
            "x\u2028resource x\x85y\x0bz\x0c",
            '${file("/etc/passwd")}',
            "%{ for x in y }",
            "$${a}",
            "$$${a}",
            "%%%{b}",
            "\\${c}",
            "\\",
            '\\"',
            "\b\f\x00\x7f",
            "{{resolve:ssm:/secret}}",
            "{{{resolve:ssm:/secret}}{{resolve:x}}",
            "!Ref evil",
            "&a *a",
            "\U0001f600\ue000",
        ]
    ),
)


def unquoted(text):
    """Return the string that HCL reads; fail where it would see a template."""
    assert (text[0], text[-1]) == ('"', '"')
    inner, made, at = text[1:-1], "", 0
    while at < len(inner):
        rest = inner[at:]
        if found := re.match(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", rest):
            made += chr(int(found[1] or found[2], 16))
        elif found := re.match(r'\\(["\\])', rest):
            made += found[1]
        elif found := re.match(r"([$%])\1\{", rest):
            made += found[1] + "{"
        else:
            assert not re.match(r'[$%]\{|["\\\n\r]', rest), text
            found = re.match(r".", rest, re.DOTALL)
            assert found
            made += found[0]
        at += found.end()
    return made


def values(of):
    """Return all strings in it except keys: a tag's key can have no braces in AWS."""
    if isinstance(of, dict):
        of = list(of.values())
    return [each for part in of for each in values(part)] if isinstance(of, list) else [str(of)]


@given(EVIL)
def test_a_string_of_hcl_s_is_what_it_was(text):
    """HCL reads any quoted string as its own characters, without templates, escapes or an early end."""
    assert unquoted(quoted(text)) == text


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(EVIL, EVIL, EVIL, EVIL)
def test_no_text_of_the_configuration_becomes_a_resource(prefix, key, tag, value):
    """No prefix, key, tag or ID adds a resource to the output."""
    to = request().destination.model_copy(
        update={
            "key_prefix": prefix,
            "ssekms_key_id": key,
            "server_side_encryption": "aws:kms",
            "session_tags": {tag: value},
            "source_identity": value,
            "role_arn": f"arn:aws:iam::2:role/{tag}",
        }
    )
    plans = merge([PolicyRequest(to, key, (value,), optional=True, never_overwrites=True)])
    for party, kinds in (
        (Party.A, ["aws_iam_policy"]),
        (
            Party.B,
            ["aws_iam_role", "aws_iam_role_policy", "aws_s3_bucket_policy", "aws_s3_bucket_lifecycle_configuration"],
        ),
    ):
        text = terraform(plans, party, replace_bucket_policy=True)
        outside = re.sub(r'"(\\.|[^"\\\n])*"', '""', re.sub(r"(?m)^ *#.*$", "", text))
        assert re.findall(r"\bresource\b", outside) == ["resource"] * len(kinds)
        assert re.findall(r'(?m)^resource "(\w+)"', text) == kinds
        assert not re.search(r"\$\{|%\{|[^\x20-\x7e\n]", outside)
        template = cloudformation(plans, party, replace_bucket_policy=True)
        assert yaml.safe_load(dump(template)) == json.loads(json.dumps(template))
        assert not [each for resource in template["Resources"].values() for each in values(resource["Properties"])
                    if "{{resolve:" in each]  # fmt: skip
