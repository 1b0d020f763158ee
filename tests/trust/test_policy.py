"""`crosshaul policy`: the documents pass linters, are sufficient, and contain nothing superfluous."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import hcl2
import parliament
import pytest
import yaml

from support.partner_fixtures import partner_process
from support.system_fixtures import made_for

KEY = "arn:aws:kms:us-east-1:222222222222:key/11111111-2222-3333-4444-555555555555"
PLAIN: dict[str, Any] = {}
FULL: dict[str, Any] = {
    "tags": {"origin": "a"},
    "server_side_encryption": "aws:kms",
    "ssekms_key_id": KEY,
    "source_identity": "exports-host",
    "session_tags": {"team": "data"},
    "key_prefix": "from-a/",
}
DIRECT = {"role_arn": None, "external_id_file": None, "expected_bucket_owner": "222222222222"}


def printed(site, *arguments):
    """Return what the verb prints; it has to succeed."""
    done = site.crosshaul("policy", *arguments)
    assert done.returncode == 0, done
    return done.stdout


def documents(site, *arguments):
    """Return the documents by name, as `--format json` prints them."""
    output = json.loads(printed(site, "--show-external-id", *arguments))["partner"]
    return {name: each["document"] for account in output.values() for name, each in account.items()}


@pytest.fixture(params=[PLAIN, FULL, DIRECT], ids=["plain", "full", "direct"])
def site(request, strict, site_for):
    made = site_for(strict, overwrite="never")
    made.destination.update(request.param)
    made.write()
    return made


# Form


def test_an_iam_linter_finds_nothing_in_the_json(site):
    """Every policy in JSON passes parliament: known actions, resources that fit them, no unknown condition."""
    for name, document in documents(site, "--optional", "--principal", "111111111111").items():
        if name == "lifecycle":
            continue
        kind = "resource" if name in {"trust-policy", "key-policy", "bucket-policy"} else "identity"
        analyzed = parliament.analyze_policy_string(
            json.dumps(document), ignore_private_auditors=True, include_community_auditors=False
        )
        ours = [each for each in analyzed.findings if not _of_a_resource_policy(each, kind)]
        assert ours == [], (name, ours)
        assert all(each["Sid"].isalnum() for each in document["Statement"])


def _of_a_resource_policy(finding, kind):
    """Parliament knows identity policies only: it misses the resource of a trust policy, and a key's own "*"."""
    known = {"MALFORMED", "RESOURCE_MISMATCH", "RESOURCE_STAR", "UNKNOWN_CONDITION_FOR_ACTION"}
    return kind == "resource" and finding.issue in known


def test_the_iam_linter_would_find_something():
    """The linter finds an action that does not exist."""
    wrong = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObjekt", "Resource": "*"}]}
    assert [each.issue for each in parliament.analyze_policy_string(json.dumps(wrong)).findings] == ["UNKNOWN_ACTION"]


@pytest.mark.parametrize("account", ["account-a", "account-b"])
def test_cloudformation_passes_cfn_lint(site, tmp_path, account):
    """Each account's template has no error and no warning; external ID and unknown principal are parameters."""
    text = printed(site, "--format", "cloudformation", "--only", account, "--optional")
    template = tmp_path / "template.yaml"
    template.write_text(text)
    linter = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", "us-east-1", "--", str(template)]
    done = subprocess.run(linter, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done
    parsed = yaml.safe_load(text)
    assert site.external_id_file.read_text() not in text
    if account == "account-b" and site.destination.get("role_arn"):
        assert parsed["Parameters"]["ExternalIdPartner"]["NoEcho"] is True
        (role,) = [each for each in parsed["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
        condition = role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]
        assert condition == {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalIdPartner"}}}
        assert set(role["Metadata"]["Reasons"]) >= {"TrustAccountA", "Upload", "ReadBack"}


@pytest.mark.parametrize("account", ["account-a", "account-b"])
def test_terraform_is_hcl_and_says_the_same_as_the_json(site, account):
    """The HCL of each account parses, and has the same statements as the JSON."""
    text = printed(site, "--format", "terraform", "--only", account, "--show-external-id")
    hcl2.loads(text)
    assert not misaligned(text)
    output = json.loads(printed(site, "--show-external-id"))["partner"][account.replace("-", "_")]
    for each in output.values():
        for statement in each["document"].get("Statement", []):
            assert re.search(f'"Sid" += "{statement["Sid"]}"\n', text)
            assert f"# {each['reasons'][statement['Sid']]}" in text


def misaligned(text):
    """Return the lines that `terraform fmt` would change: two blanks per level, aligned equal signs."""
    wrong, depth, group = [], 0, []
    for line in [*text.splitlines(), ""]:
        body = line.strip()
        depth_here = depth - (1 if body[:1] in {"}", "]", ")"} else 0)
        if body and line != "  " * depth_here + body:
            wrong.append(line)
        if not body.startswith("#"):
            outside = re.sub(r'"(\\.|[^"\\])*"', '""', body)
            depth += sum(outside.count(sign) for sign in "{[") - sum(outside.count(sign) for sign in "}]")
        sign = re.match(r'(\s*("(\\.|[^"\\])*"|[a-z_]+)\s*) = ', line)
        if sign and not line.endswith(("{", "[")):
            group.append((len(sign[1]), len(sign[1].rstrip()), line))
        else:
            if sign and sign[1] != sign[1].rstrip():
                wrong.append(line)
            if group and {at for at, _, _ in group} != {max(least for _, least, _ in group)}:
                wrong += [each for _, _, each in group]
            group = []
    return wrong


def test_what_a_bucket_has_is_merged_with_and_replaced_only_on_demand(site):
    """Bucket policy and lifecycle are replaced only with the flag, and then with a warning."""
    terraform = printed(site, "--format", "terraform", "--only", "account-b")
    assert "aws_s3_bucket_policy" not in terraform
    assert "aws_s3_bucket_lifecycle_configuration" not in terraform
    assert 'data "aws_iam_policy_document" "crosshaul_partner_bucket_policy"' in terraform
    assert "Merge" in terraform
    template = yaml.safe_load(printed(site, "--format", "cloudformation", "--only", "account-b"))
    assert not [each for each in template["Resources"].values() if each["Type"] == "AWS::S3::BucketPolicy"]
    output = json.loads(template["Outputs"]["PartnerBucketPolicy"]["Value"])
    assert {each["Sid"] for each in output["Statement"]} >= {"OnlyOverTls"}
    asked = ("--only", "account-b", "--replace-bucket-policy")
    done = site.crosshaul("policy", "--format", "terraform", *asked)
    assert done.returncode == 0
    assert "WARNING" in done.stderr
    assert done.stdout.count("# WARNING") == 2
    assert 'resource "aws_s3_bucket_policy"' in done.stdout
    assert 'resource "aws_s3_bucket_lifecycle_configuration"' in done.stdout
    assert not misaligned(done.stdout)
    template = yaml.safe_load(printed(site, "--format", "cloudformation", *asked))
    (policy,) = [each for each in template["Resources"].values() if each["Type"] == "AWS::S3::BucketPolicy"]
    assert policy["Metadata"]["Warning"].startswith("WARNING")


def test_each_account_gets_a_file_of_its_own(strict, site_for, tmp_path):
    """--directory writes a complete template per account; without it both are in one output."""
    site = site_for(strict)
    printed(site, "--format", "cloudformation", "--directory", str(tmp_path / "out"))
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["account-a.yaml", "account-b.yaml"]
    for each in (tmp_path / "out").iterdir():
        assert yaml.safe_load(each.read_text())["Resources"]
    done = site.crosshaul("policy", "--format", "cloudformation")
    assert [bool(each["Resources"]) for each in yaml.safe_load_all(done.stdout)] == [True, True]
    assert "--only" in done.stderr


@pytest.mark.parametrize("form", ["json", "terraform", "cloudformation"])
def test_no_partner_gets_what_is_anothers(form, strict, site_for, tmp_path):
    """Each account B gets a file without names and external IDs of other partners."""
    site = site_for(strict)
    first = site.destination
    first.pop("external_id_file")
    first["external_id"] = "first-partners-secret"
    other = first | {"role_arn": "arn:aws:iam::333333333333:role/partner-upload", "external_id": "others-secret"}
    site.config["destinations"] |= {
        "beside": first | {"key_prefix": "beside/"},
        "other": other | {"bucket": "others-bucket"},
        "open": {"bucket": "open-bucket"},
    }
    site.write()
    asked = ("--format", form, "--show-external-id", "--principal", "111111111111")
    printed(site, *asked, "--directory", str(tmp_path / "out"))
    texts = {each.stem: each.read_text() for each in (tmp_path / "out").iterdir()}
    assert set(texts) == {"account-a", "account-b-222222222222", "account-b-333333333333", "account-b-open"}
    marks = {"account-b-222222222222": "first-partners", "account-b-333333333333": "others-", "account-b-open": "open-"}
    for name, text in texts.items():
        found = {mark for mark in marks.values() if mark in text}
        assert found == ({marks[name]} if name in marks else {"open-"}), name
    assert texts["account-b-333333333333"].count("partner") == texts["account-b-333333333333"].count("partner-upload")


def test_destinations_of_one_role_share_the_identitys_policy_too(strict, site_for):
    """Two destinations with one role share one identity policy in Account A."""
    site = site_for(strict)
    site.config["destinations"]["beside"] = site.destination | {"key_prefix": "beside/"}
    site.write()
    text = printed(site, "--format", "terraform", "--only", "account-a")
    assert text.count('resource "aws_iam_policy"') == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--only", "key-policy"),
        ("--principal", "foo"),
        ("--principal", "*"),
        ("--principal", "1111"),
        ("--principal", "arn:aws-cn:iam::111111111111:root"),
        ("--principal", "arn:aws:s3:::bucket"),
        ("--kms-key", "alias/mine"),
        ("--destination", "nobody", "--only", "trust-policy"),
    ],
)
def test_what_is_not_there_or_no_identity_is_refused(strict, site_for, arguments):
    """Invalid options end with code 2 and a message, without any output to apply by mistake."""
    site = site_for(strict)
    del site.destination["endpoint_url"]
    del site.config["identity"]["sts_endpoint_url"]
    site.write()
    done = site.crosshaul("policy", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert arguments[0] in done.stderr


def test_hcl_takes_nothing_for_a_template_of_its_own(strict, site_for):
    """Terraform templates in the configuration are escaped."""
    site = site_for(strict)
    site.destination["tags"] = {"a": "b"}
    site.destination["key_prefix"] = "$${x}/%{y}/"  # in the configuration, $$ stands for one dollar
    site.write()
    text = printed(site, "--format", "terraform", "--only", "account-b")
    assert "$${$}{x}/%%{y}/" in text
    hcl2.loads(text)


def test_the_external_id_is_shown_only_when_asked_for(strict, site_for):
    """The external ID is printed only with --show-external-id."""
    site = site_for(strict)
    secret = site.external_id_file.read_text()
    for form in ("json", "terraform", "cloudformation"):
        assert secret not in printed(site, "--format", form)
    trust = json.loads(printed(site, "--only", "trust-policy", "--show-external-id"))
    assert trust["Statement"][0]["Condition"] == {"StringEquals": {"sts:ExternalId": secret}}


def test_who_account_a_is_stands_in_the_trust_policy(strict, site_for):
    """The principal is the identity from STS or from --principal, else a variable with a message."""
    site = site_for(strict)

    def principal(*arguments):
        trust = json.loads(printed(site, "--only", "trust-policy", *arguments))
        return trust["Statement"][0]["Principal"]["AWS"]

    assert principal() == "arn:aws:iam::111111111111:user/crosshaul"
    assert principal("--principal", "333333333333") == "arn:aws:iam::333333333333:root"
    session = "arn:aws:sts::333333333333:assumed-role/uploader/i-0abc"
    assert principal("--principal", session) == "arn:aws:iam::333333333333:role/uploader"
    site.environment = {}
    done = site.crosshaul("policy", "--format", "terraform")
    assert done.returncode == 0
    assert "--principal" in done.stderr
    assert '"AWS" = var.account_a_principal' in done.stdout
    assert "--only" in done.stderr


# Use


def applied(found):
    """Return the documents as settings of the strict account."""
    settings = {"user_policy": found["identity-policy"], "bucket_policy": found["bucket-policy"]}
    if "trust-policy" in found:
        settings |= {"trust_policy": found["trust-policy"], "role_policy": found["role-policy"]}
    return settings


def checked(site):
    """Return the exit code of check, and its failures and warnings."""
    done = site.crosshaul("check", "--json")
    output = json.loads(done.stdout)["destinations"]["partner"]["findings"]
    return done.returncode, [each for each in output if each["outcome"] in {"fail", "warn"}]


@pytest.fixture(params=[PLAIN, FULL, DIRECT], ids=["plain", "full", "direct"])
def secure_site(request, certificates, tmp_path):
    """Yield a site whose account is reached over TLS, as the bucket policy demands; and the account."""
    with partner_process(certificates=certificates, spool=tmp_path / "spool") as account:
        made = made_for(account, tmp_path / "site", overwrite="never")
        made.destination["tls_ca_bundle"] = str(certificates.authority)
        made.environment["AWS_CA_BUNDLE"] = str(certificates.authority)
        made.destination.update(request.param)
        made.write()
        yield made, account


def test_the_documents_are_enough_and_each_statement_is_needed(secure_site):
    """With the printed policies check passes and files arrive; check finds each Allow that is removed."""
    site, account = secure_site
    found = documents(site)
    account.settings(**applied(found))
    code, output = checked(site)
    assert code == 0, output
    site.add("a", b"small")
    site.add("large", bytes(20 * 1024 * 1024))
    assert site.push().startswith("Delivered 2 files")
    for name, document in found.items():
        for statement in document.get("Statement", []):
            if statement["Effect"] == "Allow" and name != "key-policy":
                rest = [each for each in document["Statement"] if each is not statement]
                account.settings(**applied(found | {name: {**document, "Statement": rest}}))
                code, output = checked(site)
                assert code == 1, (name, statement["Sid"])
                first = next(each for each in output if each["outcome"] == "fail")["diagnosis"]
                assert statement["Action"] in first["action"], (name, statement["Sid"], first)
                assert _part(name, site) in first["cause"], (name, statement["Sid"], first)
        account.settings(**applied(found))


def _part(name, site):
    return {
        "identity-policy": "STS policy in A" if site.destination.get("role_arn") else "identity policy in A",
        "trust-policy": "trust policy in B",
        "role-policy": "role permission",
        "bucket-policy": "bucket policy",
    }[name]


def test_what_the_bucket_policy_denies_is_denied(secure_site):
    """Each suggested Deny takes effect against overwriting and other encryption, and check finds the policy."""
    site, account = secure_site
    found = documents(site)
    account.settings(**applied(found))
    denied = {each["Sid"] for each in found["bucket-policy"]["Statement"] if each["Effect"] == "Deny"}
    assert denied >= {"OnlyOverTls", "NeverOverwrite"}
    site.add("a", b"first")
    assert site.push().startswith("Delivered 1 file")
    site.write(overwrite="always")
    site.add("a", b"second, and longer")
    done = site.crosshaul("push")
    assert (done.returncode, "explicit deny in a resource-based policy" in done.stdout + done.stderr) == (1, True), done
    if "OnlyThisEncryption" in denied:
        site.destination.update(server_side_encryption="AES256", ssekms_key_id=None)
        site.write(overwrite="never")
        code, output = checked(site)
        assert code == 1
        assert next(each for each in output if each["outcome"] == "fail")["diagnosis"]["cause"] == "bucket policy"


def test_a_keys_own_policy_is_enough_where_iam_has_no_say(strict, site_for):
    """The printed key policy statements are sufficient without the root statement, and check finds each missing one."""
    site = site_for(strict)
    site.destination.update(FULL)
    site.write()
    found = documents(site)
    strict.settings(**applied(found | {"bucket-policy": None}), kms_key_policy=found["key-policy"])
    code, output = checked(site)
    assert code == 0, output
    for statement in found["key-policy"]["Statement"]:
        rest = [each for each in found["key-policy"]["Statement"] if each is not statement]
        strict.settings(kms_key_policy={"Version": "2012-10-17", "Statement": rest})
        code, output = checked(site)
        first = next(each for each in output if each["outcome"] == "fail")["diagnosis"]
        assert (code, first["cause"], statement["Action"] in first["action"]) == (1, "KMS key policy", True), first


def test_session_tags_and_source_identity_reach_account_b(strict, site_for):
    """Source identity and tags are sent with AssumeRole, with {hostname} replaced, and need permission."""
    site = site_for(strict)
    site.destination.update(source_identity="{hostname}", session_tags={"host": "on {hostname}"})
    site.write()
    found = documents(site)
    trust = {each["Sid"]: each for each in found["trust-policy"]["Statement"]}
    host = socket.gethostname()
    assert trust["LetTheSessionBeTagged"]["Condition"] == {"StringEquals": {"aws:RequestTag/host": f"on {host}"}}
    assert trust["LetTheHostBeNamed"]["Condition"] == {"StringEquals": {"sts:SourceIdentity": host}}
    strict.settings(user_policy=found["identity-policy"], trust_policy=found["trust-policy"])
    assert checked(site)[0] == 0


def test_nothing_of_this_needs_the_network(strict, site_for):
    """With --principal, `policy` opens no connection."""
    site = site_for(strict)
    site.environment["AWS_ENDPOINT_URL"] = site.config["identity"]["sts_endpoint_url"] = "http://127.0.0.1:9"
    site.write()
    assert json.loads(printed(site, "--principal", "111111111111"))["partner"]["account_b"]
