"""STS and the trust between the two accounts."""

from __future__ import annotations

import datetime
import json

import pytest

from crosshaul.partner import PartnerAccount, Settings, document, statement
from support.partner_client import refused, s3, serving, session, sts

DENIED = "is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/partner-upload"


@pytest.fixture(scope="module")
def account():
    with serving() as served:
        yield served


def assume(account: PartnerAccount, **parameters):
    wanted = {"RoleArn": account.role_arn, "RoleSessionName": "tests", "ExternalId": account.external_id, **parameters}
    return sts(account).assume_role(**{name: value for name, value in wanted.items() if value is not None})


def test_the_right_external_id_opens_a_session_that_says_who_it_is(account):
    """AssumeRole with the external ID gives credentials that GetCallerIdentity knows as the role's session."""
    answer = assume(account, RoleSessionName="crosshaul-host")
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::222222222222:assumed-role/partner-upload/crosshaul-host"
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert 3590 < left.total_seconds() <= 3601
    assert sts(account, session(account)).get_caller_identity()["Account"] == "222222222222"


@pytest.mark.parametrize("external_id", ["wrong-one", None])
def test_without_the_external_id_nothing_opens(account, external_id):
    """A wrong external ID and a missing one are both a plain AccessDenied."""
    with refused() as refusal:
        assume(account, ExternalId=external_id)
    assert refusal == (403, "AccessDenied")
    assert refusal.message == f"User: arn:aws:iam::111111111111:user/crosshaul {DENIED}"


def test_account_a_may_assume_exactly_that_role(account):
    """Another role of the partner is refused in the same words, whether it exists or not."""
    with refused() as refusal:
        assume(account, RoleArn="arn:aws:iam::222222222222:role/another")
    assert refusal == (403, "AccessDenied")


def test_account_a_must_allow_it_too():
    """The trust of the partner isn't enough: without sts:AssumeRole in Account A the call is refused."""
    other = document(statement(["sts:GetCallerIdentity"], "*"))
    with serving(Settings(user_policy=other)) as account, refused() as refusal:
        assume(account)
    assert refusal == (403, "AccessDenied")


def test_account_a_may_do_nothing_else(account):
    """Account A's own credentials can't write to the partner's bucket."""
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret_access_key}
    with refused() as refusal:
        s3(account, keys).put_object(Bucket=account.bucket, Key="a", Body=b"a")
    assert refusal == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"DurationSeconds": 3601}, "ValidationError"),
        ({"DurationSeconds": 43201}, "ValidationError"),
        ({"RoleSessionName": "no spaces"}, "ValidationError"),
        ({"ExternalId": "no spaces"}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"Policy": json.dumps(document(statement(["s3:PutObject"], ["x" * 2048])))}, "PackedPolicyTooLarge"),
    ],
)
def test_parameters_are_validated(account, parameters, code):
    """Durations, names and session policies out of bounds are refused with 400 and AWS's code."""
    with refused() as refusal:
        assume(account, **parameters)
    assert refusal == (400, code)


def test_role_chaining_caps_a_session_at_an_hour():
    """With a role as the base, more than 3,600 s is refused although the role itself allows it."""
    with serving(Settings(max_session_seconds=7200)) as account:
        assume(account, DurationSeconds=7200)
        account.change(role_chaining=True)
        with refused() as refusal:
            assume(account, DurationSeconds=7200)
    assert refusal == (400, "ValidationError")
    assert "role chaining" in refusal.message


def test_sessions_live_as_long_as_they_say():
    """A short session is accepted, says so in Expiration, and is expired for S3 (400) and STS (403) after it."""
    with serving(Settings(session_seconds=1)) as account:
        left = assume(account)["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
        assert left.total_seconds() <= 2
        keys = session(account)
        s3(account, keys).put_object(Bucket=account.bucket, Key="a", Body=b"a")
        account.change(clock_skew=2.0)
        with refused() as on_s3:
            s3(account, keys).put_object(Bucket=account.bucket, Key="a", Body=b"a")
        with refused() as on_sts:
            sts(account, keys).get_caller_identity()
    assert on_s3 == (400, "ExpiredToken")
    assert on_sts == (403, "ExpiredToken")


@pytest.mark.parametrize(("code", "status"), [("ExpiredToken", 400), ("InvalidToken", 400), ("AccessDenied", 403)])
def test_sessions_can_be_revoked(code, status):
    """A revoked session is refused, and a new one is accepted."""
    with serving() as account:
        keys = session(account)
        account.revoke_sessions(code)
        with refused() as refusal:
            s3(account, keys).put_object(Bucket=account.bucket, Key="a", Body=b"a")
        s3(account).put_object(Bucket=account.bucket, Key="a", Body=b"a")
    assert refusal == (status, code)


def test_a_session_policy_narrows_the_session(account):
    """With a session policy for one prefix, the role's right on another is no longer there."""
    policy = json.dumps(document(statement(["s3:PutObject"], f"arn:aws:s3:::{account.bucket}/in/*")))
    client = s3(account, session(account, Policy=policy))
    client.put_object(Bucket=account.bucket, Key="in/a", Body=b"a")
    with refused() as outside:
        client.put_object(Bucket=account.bucket, Key="out/a", Body=b"a")
    with refused() as reading:
        client.get_object(Bucket=account.bucket, Key="in/a")
    assert outside == (403, "AccessDenied")
    assert "because no session policy allows the s3:PutObject action" in outside.message
    assert reading == (403, "AccessDenied")


def test_a_session_policy_gives_nothing_new(account):
    """A session policy that allows everything leaves the session with the role's own rights."""
    client = s3(account, session(account, Policy=json.dumps(document(statement(["*"], "*")))))
    with refused() as refusal:
        client.delete_object(Bucket=account.bucket, Key="a")
    assert refusal == (403, "AccessDenied")
    assert "because no identity-based policy allows the s3:DeleteObject action" in refusal.message


def test_wrong_keys_and_signatures_are_distinguished(account):
    """STS names an unknown key InvalidClientTokenId and a wrong secret SignatureDoesNotMatch."""
    unknown = {"aws_access_key_id": "AKIAUNKNOWN", "aws_secret_access_key": "x"}
    with refused() as key:
        sts(account, unknown).get_caller_identity()
    with refused() as secret:
        sts(account, {**unknown, "aws_access_key_id": account.access_key_id}).get_caller_identity()
    assert key == (403, "InvalidClientTokenId")
    assert secret == (403, "SignatureDoesNotMatch")


def test_the_trust_can_change_while_it_serves():
    """A new external ID refuses the old one; a role that is gone refuses both; both come back."""
    with serving(Settings(external_id="first")) as account:
        account.change(external_id="second")
        with refused() as old:
            assume(account, ExternalId="first")
        assume(account, ExternalId="second")
        account.change(role_exists=False)
        with refused() as gone:
            assume(account, ExternalId="second")
        account.change(role_exists=True)
        assume(account, ExternalId="second")
    assert old == gone == (403, "AccessDenied")


def test_a_clock_that_is_off_is_refused():
    """STS refuses a request signed 20 minutes off as expired, or as not yet current, and says its own time in Date."""
    with serving(Settings(clock_skew=1200)) as account:
        with refused() as late:
            assume(account)
        account.change(clock_skew=-1200)
        with refused() as early:
            assume(account)
    assert late == early == (403, "SignatureDoesNotMatch")
    assert "Signature expired" in late.message
    assert "not yet current" in early.message
    assert late.headers["date"] != early.headers["date"]
