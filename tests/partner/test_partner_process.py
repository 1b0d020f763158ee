"""The partner account in its own process, and its control API."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from support.partner_client import refused, s3, session
from support.partner_fixtures import partner_process


@pytest.fixture(scope="module")
def process(certificates, tmp_path_factory):
    spool = tmp_path_factory.mktemp("spool")
    with partner_process(certificates=certificates, spool=spool, session_seconds=60) as partner:
        yield partner
    assert list(spool.iterdir()) == [], "the spool is left empty"


def test_all_that_is_needed_is_on_one_line(process, certificates):
    """The line that the process prints is enough to assume the role and to write over TLS."""
    client = s3(process, verify=certificates.authority)
    client.put_object(Bucket=process.bucket, Key="a b", Body=b"body", Metadata={"m": "1"})
    seen = process.objects(sha256=True)["a b"]
    assert seen["sha256"] == hashlib.sha256(b"body").hexdigest()
    assert (seen["size"], seen["writes"], seen["metadata"]) == (4, 1, {"m": "1"})
    assert process.read("a b") == b"body"
    assert process.calls("PutObject")[-1]["key"] == "a b"


def test_faults_and_settings_come_from_outside(process, certificates):
    """Faults, settings, revocation and the call log work through the control API."""
    client = s3(process, verify=certificates.authority)
    process.fault("error", "PutObject", rule={"key": "f"}, status=500, code="InternalError")
    with refused() as fault:
        client.put_object(Bucket=process.bucket, Key="f", Body=b"")
    assert fault == (500, "InternalError")
    assert process.faults()[0]["hits"] == 1
    process.clear_faults()
    process.revoke()
    with refused() as revoked:
        client.put_object(Bucket=process.bucket, Key="f", Body=b"")
    assert revoked == (400, "ExpiredToken")
    process.settings(external_id="another")
    with refused() as trust:
        session(process, verify=certificates.authority)
    assert trust == (403, "AccessDenied")
    process.settings(external_id=process.external_id)
    process.forget_calls()
    assert process.calls() == []
    assert process.uploads() == []


def test_a_setting_that_isnt_one_is_refused(process):
    """An unknown setting and a malformed policy are refused and change nothing."""
    with pytest.raises(ValueError, match="unknown settings: colour"):
        process.settings(colour="blue")
    with pytest.raises(ValueError, match="MalformedPolicyDocument"):
        process.settings(role_policy={"Statement": [{"Effect": "Maybe"}]})


def test_the_process_ends_quietly(tmp_path):
    """The command prints one line with all that a client needs, and exits with 0 at SIGTERM."""
    command = [sys.executable, "-m", "crosshaul.partner", "--spool", str(tmp_path), "--config", '{"bucket": "theirs"}']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = json.loads(process.stdout.readline())
        process.terminate()
        rest = process.stdout.read()
    assert (output["bucket"], rest, process.returncode) == ("theirs", "", 0)
    with partner_process(spool=tmp_path) as partner:
        assert output.keys() == vars(partner).keys() - {"process"}
