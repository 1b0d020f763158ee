"""`crosshaul check` on the strict account: it passes a correct set-up, and finds each error in a wrong one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crosshaul.partner import document, statement
from support.partner_fixtures import make_certificates, partner_process
from support.system_fixtures import until

PAGE = Path(__file__).parents[2] / "docs/TROUBLESHOOTING.md"
OBJECTS = "arn:aws:s3:::partner-inbox/*"
KEY = "arn:aws:kms:us-east-1:222222222222:key/11111111-2222-3333-4444-555555555555"
USER = {"AWS": "arn:aws:iam::111111111111:user/crosshaul"}
BOTH = ["s3:PutObject", "s3:GetObject"]


def checked(site, *arguments):
    """Return the exit code and the findings of the destination `partner`, by step."""
    done = site.crosshaul("check", "--json", *arguments)
    assert done.returncode in {0, 1}, done
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(done.stdout)["destinations"]["partner"]["findings"]:
        found.setdefault(each["step"], []).append(each)
    return done.returncode, found


def bad(found):
    """Return step, cause and party of the first failure."""
    first = next(each for several in found.values() for each in several if each["outcome"] == "fail")
    return first["step"], first["diagnosis"]["cause"], first["diagnosis"]["party"]


def test_all_is_well(strict, site_for):
    """The set-up of the guide passes every step, as text and as JSON, and leaves one object behind."""
    site = site_for(strict)
    code, found = checked(site)
    assert (code, [each["step"] for several in found.values() for each in several if each["outcome"] == "fail"]) == (
        0,
        [],
    )
    assert list(found) == [
        "identity", "assume_role", "confused_deputy", "upload", "download", "multipart", "store", "least_privilege",
        "machine",
    ]  # fmt: skip
    assert [each["outcome"] for each in found["confused_deputy"]] == ["pass", "pass"]
    assert found["download"][0]["content"] == "This is from cross account!"
    assert set(strict.objects()) == {".crosshaul/check"}
    assert strict.uploads() == []
    assert strict.read(".crosshaul/check") == b"This is from cross account!"
    done = site.crosshaul("check")
    assert done.returncode == 0
    assert "validated Upload : true" in done.stdout
    assert "validated Download : true" in done.stdout
    assert site.external_id_file.read_text() not in done.stdout


def test_a_user_s_object_is_left_alone(strict, site_for):
    """A check leaves an object alone that has its key and was not written by a check, and uses another key."""
    site = site_for(strict)
    (site.root / ".crosshaul").mkdir()
    site.add(".crosshaul/check", b"a user's own")
    site.push()
    for _ in range(2):
        assert checked(site)[0] == 0
    assert strict.read(".crosshaul/check") == b"a user's own"
    assert set(strict.objects()) == {".crosshaul/check", ".crosshaul/check-1"}


@pytest.mark.parametrize(("quality", "kept"), [("honoured", True), ("ignored", False), ("refused", False)])
def test_whether_conditions_are_kept_is_reported_and_remembered(strict, site_for, quality, kept):
    """A check finds out whether the store supports If-None-Match, and saves the result."""
    strict.settings(conditions=quality)
    site = site_for(strict)
    site.push()
    code, found = checked(site)
    (output,) = [each for each in found["store"] if "conditions" in each]
    assert (code, output["conditions"], output["outcome"]) == (0, kept, "pass" if kept else "warn")
    assert json.loads((site.state_dir / "capabilities.json").read_text())["partner"]["conditions"] is kept


def test_a_refusal_is_reported_with_all_that_aws_said(strict, site_for):
    """The output has the error's fields, cause, party, action, and a message to the partner without secrets."""
    strict.settings(role_policy=document(statement(["s3:GetObject"], OBJECTS)))
    site = site_for(strict)
    done = site.crosshaul("check")
    assert done.returncode == 1
    output = ("validated Upload : false", "Error Message:", "HTTP Status Code: 403", "AWS Error Code:   AccessDenied")
    for part in (
        *output,
        "Error Type:",
        "Request ID:",
        "role permission (Account B)",
        "s3:PutObject",
        "To send to your",
    ):
        assert part in done.stdout, part
    assert site.external_id_file.read_text() not in done.stdout


def test_when_nothing_answers_it_says_so(strict, site_for):
    """An endpoint that does not respond is reported as unreachable."""
    site = site_for(strict)
    site.destination["endpoint_url"] = "http://127.0.0.1:9"
    site.write()
    done = site.crosshaul("check")
    assert (done.returncode, "No response" in done.stdout) == (1, True), done
    assert "endpoint (this machine)" in done.stdout


@dataclass(frozen=True)
class Wrong:
    """A set-up with one error, and the expected finding."""

    what: str
    step: str
    cause: str
    party: str
    account: Callable[[], dict[str, Any]] = dict
    """Settings of the strict account."""
    destination: Callable[[], dict[str, Any]] = dict
    identity: Callable[[], dict[str, Any]] = dict
    environment: Callable[[], dict[str, str]] = dict
    external_id: str | None = None
    answers: Callable[[], dict[str, Any]] = dict
    """A scripted answer, in AWS's words, for what the strict account has not got."""
    over_tls: bool = False
    """True to serve the bucket over TLS with an untrusted certificate."""


NO_ROLE = {"role_arn": None, "external_id_file": None}


def denying(operation, why):
    """AWS's words (IAM user guide, "Troubleshoot access denied error messages")."""
    return {"operation": operation, "message": f"User: arn is not authorized to perform: it on resource: that{why}"}


def role(actions, resource=OBJECTS):
    return {"role_policy": document(statement(actions, resource))}


def trusting(principal=USER, **condition):
    more = {"Condition": {"StringEquals": condition}} if condition else {}
    return {"trust_policy": document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, **more})}


WRONG = (
    Wrong(
        "no credentials",
        "identity",
        "base credentials",
        "Account A",
        environment=lambda: {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    ),
    Wrong(
        "an access key that does not exist",
        "identity",
        "base credentials",
        "Account A",
        environment=lambda: {"AWS_ACCESS_KEY_ID": "AKIAXXXXXXXXXXXXXXXX"},
    ),
    Wrong(
        "a wrong secret key",
        "identity",
        "base credentials",
        "Account A",
        environment=lambda: {"AWS_SECRET_ACCESS_KEY": "wrong"},
    ),
    Wrong(
        "an expired session token as base credentials",
        "identity",
        "base credentials",
        "Account A",
        environment=lambda: {"AWS_SESSION_TOKEN": "stale"},
    ),
    Wrong(
        "a profile that does not exist",
        "identity",
        "profile",
        "the configuration",
        identity=lambda: {"profile": "nobody"},
    ),
    Wrong(
        "STS unreachable",
        "identity",
        "endpoint",
        "this machine",
        identity=lambda: {"sts_endpoint_url": "http://127.0.0.1:9"},
    ),
    Wrong(
        "a clock 20 minutes slow",
        "identity",
        "clock",
        "this machine",
        account=lambda: {"clock_skew": 1200.0},
    ),
    Wrong(
        "a clock 20 minutes fast",
        "identity",
        "clock",
        "this machine",
        account=lambda: {"clock_skew": -1200.0},
    ),
    Wrong(
        "Account A's user may not call sts:AssumeRole",
        "assume_role",
        "trust policy in B, or STS policy in A",
        "Account B",
        account=lambda: {"user_policy": document(statement(["s3:GetObject"], "*"))},
    ),
    Wrong(
        "the role does not exist",
        "assume_role",
        "trust policy in B, or STS policy in A",
        "Account B",
        account=lambda: {"role_exists": False},
    ),
    Wrong(
        "the role trusts another principal",
        "assume_role",
        "trust policy in B, or STS policy in A",
        "Account B",
        account=lambda: trusting({"AWS": "arn:aws:iam::333333333333:root"}),
    ),
    Wrong(
        "a wrong external ID",
        "assume_role",
        "trust policy in B, or STS policy in A",
        "Account B",
        external_id="another-one",
    ),
    Wrong(
        "a required external ID that is not configured",
        "assume_role",
        "external ID",
        "the configuration",
        destination=lambda: {"external_id_file": None},
    ),
    Wrong(
        "a role that requires no external ID",
        "confused_deputy",
        "trust policy in B",
        "Account B",
        account=trusting,
    ),
    Wrong(
        "a session longer than the role allows",
        "assume_role",
        "session duration",
        "the configuration",
        destination=lambda: {"duration_seconds": 7200},
    ),
    Wrong(
        "a chained role for more than an hour",
        "assume_role",
        "session duration",
        "the configuration",
        account=lambda: {"role_chaining": True, "max_session_seconds": 43200},
        destination=lambda: {"duration_seconds": 7200},
    ),
    Wrong(
        "an invalid session policy",
        "assume_role",
        "session policy",
        "the configuration",
        destination=lambda: {"session_policy": "/dev/null"},
    ),
    Wrong(
        "the role may not PutObject",
        "upload",
        "role permission",
        "Account B",
        account=lambda: role(["s3:GetObject"]),
    ),
    Wrong(
        "the role may put objects only elsewhere",
        "upload",
        "role permission",
        "Account B",
        account=lambda: role(BOTH, "arn:aws:s3:::partner-inbox/elsewhere/*"),
    ),
    Wrong(
        "the role may not GetObject",
        "download",
        "role permission",
        "Account B",
        account=lambda: role(["s3:PutObject"]),
    ),
    Wrong(
        "a bucket policy that denies",
        "upload",
        "bucket policy",
        "Account B",
        account=lambda: {
            "bucket_policy": document({**statement(["s3:PutObject"], OBJECTS, Principal="*"), "Effect": "Deny"})
        },
    ),
    Wrong(
        "a bucket that does not exist",
        "upload",
        "name of the bucket",
        "the configuration",
        destination=lambda: {"bucket": "partner-nowhere"},
    ),
    Wrong(
        "a wrong region",
        "upload",
        "region",
        "the configuration",
        destination=lambda: {"region": "eu-west-1"},
    ),
    Wrong(
        "a wrong owner",
        "upload",
        "owner of the bucket, or role permission",
        "Account B",
        destination=lambda: {"expected_bucket_owner": "999999999999"},
    ),
    Wrong(
        "an ACL for a bucket with enforced ownership",
        "upload",
        "Object Ownership",
        "the configuration",
        destination=lambda: {"acl": "public-read"},
        account=lambda: role([*BOTH, "s3:PutObjectAcl"]),
    ),
    Wrong(
        "tags without s3:PutObjectTagging",
        "upload",
        "role permission",
        "Account B",
        destination=lambda: {"tags": {"a": "b"}},
    ),
    Wrong(
        "a KMS key that does not exist",
        "upload",
        "KMS key",
        "Account B",
        destination=lambda: {"server_side_encryption": "aws:kms", "ssekms_key_id": KEY.replace("1111-2", "9999-2")},
    ),
    Wrong(
        "a KMS key that the role may not use",
        "upload",
        "role permission",
        "Account B",
        destination=lambda: {"server_side_encryption": "aws:kms", "ssekms_key_id": KEY},
    ),
    Wrong(
        "KMS without kms:Decrypt",
        "download",
        "role permission",
        "Account B",
        account=lambda: {"role_policy": document(statement(BOTH, OBJECTS), statement(["kms:GenerateDataKey"], KEY))},
        destination=lambda: {"server_side_encryption": "aws:kms", "ssekms_key_id": KEY},
    ),
    Wrong(
        "a KMS key whose policy does not allow the role",
        "upload",
        "KMS key policy",
        "Account B",
        account=lambda: {
            "kms_key_policy": {"Version": "2012-10-17", "Statement": []},
            "role_actions": ["kms:GenerateDataKey", "kms:Decrypt"],
        },
        destination=lambda: {"server_side_encryption": "aws:kms", "ssekms_key_id": KEY},
    ),
    Wrong(
        "a source identity that the trust policy does not allow",
        "assume_role",
        "trust policy in B, or STS policy in A",
        "Account B",
        destination=lambda: {"source_identity": "exports-host"},
    ),
    Wrong(
        "no role, and a bucket policy without Account A",
        "upload",
        "bucket policy in B, or identity policy in A",
        "Account B",
        account=lambda: {"user_policy": document(statement(BOTH, OBJECTS))},
        destination=lambda: {**NO_ROLE, "expected_bucket_owner": None},
    ),
    Wrong(
        "a service control policy that denies",
        "assume_role",
        "SCP",
        "Account A",
        answers=lambda: denying("AssumeRole", " with an explicit deny in a service control policy"),
    ),
    Wrong(
        "a permissions boundary that does not allow the call",
        "upload",
        "permissions boundary",
        "Account B",
        answers=lambda: denying("PutObject", " because no permissions boundary allows the s3:PutObject action"),
    ),
    Wrong(
        "a VPC endpoint whose policy denies",
        "upload",
        "VPC endpoint",
        "Account A",
        answers=lambda: denying("PutObject", " because no VPC endpoint policy allows the s3:PutObject action"),
    ),
    Wrong(
        "a certificate of an unknown authority",
        "upload",
        "TLS",
        "this machine",
        over_tls=True,
    ),
    Wrong(
        "an unreachable proxy",
        "upload",
        "endpoint",
        "this machine",
        over_tls=True,
        environment=lambda: {"HTTPS_PROXY": "http://127.0.0.1:9"},
    ),
    Wrong(
        "S3 unreachable",
        "upload",
        "endpoint",
        "this machine",
        destination=lambda: {"endpoint_url": "http://127.0.0.1:9"},
    ),
)


def test_rights_that_nobody_needs_are_noted(strict, site_for):
    """Permissions to list, delete and abort give warnings, not failures, and nothing is deleted."""
    actions = [*BOTH, "s3:ListBucket", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"]
    strict.settings(role_policy=document(statement(actions, [OBJECTS, "arn:aws:s3:::partner-inbox"])))
    site = site_for(strict)
    site.destination["session_policy"] = "none"
    site.write()
    code, found = checked(site)
    assert code == 0
    rights = {each["right"] for each in found["least_privilege"]}
    assert rights >= {"s3:ListBucket"}
    assert [each["abort_allowed"] for each in found["multipart"] if "abort_allowed" in each] == [True]
    assert [each["missing_key_status"] for each in found["store"] if "missing_key_status" in each] == [404]
    assert set(strict.objects()) == {".crosshaul/check"}
    assert strict.uploads() == []


def test_a_role_that_is_not_asked_again_proves_nothing(strict, site_for):
    """The confused-deputy step fails when STS gives another error, and can be disabled."""
    strict.fault("error", "AssumeRole", rule={"times": None, "after": 1}, status=503, code="ServiceUnavailable")
    site = site_for(strict)
    code, found = checked(site)
    assert (code, found["confused_deputy"][0]["outcome"]) == (1, "fail")
    code, found = checked(site, "--no-confused-deputy")
    assert found["confused_deputy"][0]["outcome"] == "skipped"


def row(wrong, found):
    """Return the line of docs/TROUBLESHOOTING.md for this set-up."""
    step, cause, party = bad(found)
    first = next(each for several in found.values() for each in several if each["outcome"] == "fail")
    return f"| {wrong.what} | {step} | {cause} | {party} | {first['diagnosis']['action']} |"


@pytest.mark.parametrize("wrong", WRONG, ids=[each.what for each in WRONG])
def test_each_thing_that_is_wrong_is_found(strict, site_for, wrong):
    """The output has the failed step, the cause and the party, and the exit code is 1."""
    found = found_wrong(wrong, strict, site_for(strict))
    assert bad(found) == (wrong.step, wrong.cause, wrong.party), found
    assert row(wrong, found) in PAGE.read_text(), "run tests/trust/troubleshooting.py"


def found_wrong(wrong, strict, site):
    """Return the findings of a check whose exit code is 1."""
    strict.settings(**wrong.account())
    if answer := wrong.answers():
        strict.fault(
            "error",
            answer["operation"],
            rule={"times": None},
            status=403,
            code="AccessDenied",
            message=answer["message"],
        )
    if wrong.external_id:
        site.external_id_file.write_text(wrong.external_id)
    for changes, section in ((wrong.destination(), site.destination), (wrong.identity(), site.config["identity"])):
        section.update(changes)
    site.environment |= wrong.environment()
    site.environment = {name: value for name, value in site.environment.items() if value}
    with over_tls(site) if wrong.over_tls else contextlib.nullcontext():
        site.write()
        code, found = checked(site)
    assert code == 1
    return found


@contextlib.contextmanager
def over_tls(site):
    """Serve the bucket's endpoint over TLS with a certificate that this machine does not trust."""
    home = site.home / "tls"
    home.mkdir()
    with partner_process(certificates=make_certificates(home), spool=home / "spool") as account:
        site.destination["endpoint_url"] = account.endpoint_url
        yield


def test_what_the_role_may_is_seen_past_our_own_narrowing(strict, site_for):
    """The least-privilege step sees permissions of the role that the session policy hides."""
    actions = [*BOTH, "s3:ListBucket", "s3:GetBucketPolicy", "s3:ListAllMyBuckets"]
    strict.settings(role_policy=document(statement(actions, "*")))
    code, found = checked(site_for(strict))
    assert code == 0
    rights = {each["right"] for each in found["least_privilege"]}
    assert rights >= {"s3:ListBucket", "s3:GetBucketPolicy", "s3:ListAllMyBuckets"}


def test_it_tells_what_came_back_of_what_was_asked_for(strict, site_for):
    """The findings have encryption, key and owner, and a missing expected owner gives a warning."""
    strict.settings(role_actions=["kms:GenerateDataKey", "kms:Decrypt"])
    site = site_for(strict)
    site.destination.update(server_side_encryption="aws:kms", ssekms_key_id=KEY)
    site.write()
    code, found = checked(site)
    output = {name: value for each in found["store"] for name, value in each.items()}
    assert (code, output["encryption"], output["kms_key"], output["expected_bucket_owner"]) == (
        0, "aws:kms", KEY, "222222222222",
    )  # fmt: skip
    site.destination.update(expected_bucket_owner="none")
    site.write()
    notes = [each["message"] for each in checked(site)[1]["store"] if each["outcome"] == "warn"]
    assert notes == ["the owner of the bucket is not verified; set `expected_bucket_owner`"]


def test_which_external_id_works_is_reported(strict, site_for):
    """Check and the daemon's log say which external ID of a list the role accepts."""
    site = site_for(strict)
    old = site.external_id_file.read_text()
    site.external_id_file.write_text(f"the-new-one\n{old}\n")
    code, found = checked(site)
    assert (code, [each["external_id"] for each in found["assume_role"] if "external_id" in each]) == (0, ["2 of 2"])
    with site.daemon() as daemon:
        assert daemon.event("credentials_renewed")["external_id_index"] == "2 of 2"
        assert daemon.stop() == 0
    strict.settings(external_id="the-new-one")
    assert [each["external_id"] for each in checked(site)[1]["assume_role"] if "external_id" in each] == ["1 of 2"]


def test_what_was_learned_steers_the_daemon(strict, site_for):
    """After a check the daemon uses the best checksum from the first file on, and does not call a denied Abort.

    Of another role or bucket nothing is taken for known.
    """
    site = site_for(strict)
    assert site.push() == "Delivered 0 files."  # makes state_dir
    assert checked(site)[0] == 0
    kept = json.loads((site.state_dir / "capabilities.json").read_text())["partner"]
    assert (kept["checksum"], kept["abort_allowed"]) == ("CRC64NVME", False)
    site.in_parts()
    large = site.add("large", bytes(11 << 20))

    def sending(operation):
        return [call for call in strict.calls(operation) if call["key"] == "large"]

    strict.fault("delay", "UploadPart", rule={"times": None}, seconds=3)
    with site.daemon() as daemon:
        until(lambda: sending("UploadPart"))
        large.write_bytes(b"another, and smaller")
        until(lambda: daemon.events("file_delivered"))
        assert daemon.stop() == 0
    assert sending("AbortMultipartUpload") == []
    changed = json.loads((site.state_dir / "capabilities.json").read_text())
    changed["partner"]["of"] = "another"
    (site.state_dir / "capabilities.json").write_text(json.dumps(changed))
    large.write_bytes(bytes(11 << 20))
    with site.daemon() as daemon:
        until(lambda: len(sending("CreateMultipartUpload")) > 1)
        large.write_bytes(b"another once more")
        until(lambda: daemon.events("file_delivered"))
        assert daemon.stop() == 0
    assert sending("AbortMultipartUpload")


def test_the_running_daemon_says_which_part_it_is(strict, site_for):
    """Log, status and explain of a parked destination have the cause, the party and its action."""
    strict.settings(role_policy=document(statement(["s3:GetObject"], OBJECTS)))
    site = site_for(strict)
    path = site.add("a", b"x")
    with site.daemon() as daemon:
        output = daemon.event("destination_parked")["error"]
        until(lambda: site.status()["destinations"]["partner"]["state"] == "parked")
        said = [
            output,
            site.status()["destinations"]["partner"]["last_error"],
            site.crosshaul("explain", str(path)).stdout,
        ]
        for each in said:
            assert "Role permission (Account B): Allow the role `s3:PutObject`" in each, each
        assert daemon.stop() == 0


def test_base_credentials_that_rotate_on_disk_are_picked_up(strict, site_for):
    """New keys in the credentials file are used at the next refresh, without a restart and without failures."""
    strict.settings(session_seconds=4)
    site = site_for(strict)
    file = site.home / "credentials"

    def write(key, secret):
        fresh = file.with_suffix(".new")
        fresh.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
        fresh.replace(file)

    write(strict.access_key_id, strict.secret_access_key)
    site.environment = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    with site.daemon() as daemon:
        until(lambda: daemon.events("credentials_renewed"))
        write("AKIAROTATED000000000", "a-new-secret")
        strict.settings(access_key_id="AKIAROTATED000000000", secret_access_key="a-new-secret")
        seen = len(daemon.events("credentials_renewed"))
        until(lambda: len(daemon.events("credentials_renewed")) > seen + 1)
        site.add("a", b"x")
        until(lambda: daemon.events("file_delivered"))
        assert daemon.events("destination_parked", "upload_failed") == []
        assert daemon.stop() == 0
