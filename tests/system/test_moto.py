"""A second implementation of S3 and STS: moto's server, which shares no code with the strict account."""

import hashlib
import json
import random
import urllib.request
from dataclasses import dataclass

import boto3
import pytest
from moto.server import ThreadedMotoServer

from support.system_fixtures import sha256_of, until

MIB = 1 << 20


@dataclass
class Moto:
    """Account B at moto; it checks neither external IDs nor checksums."""

    endpoint_url: str
    sts_endpoint_url: str
    access_key_id: str = "AKIAIOSFODNN7EXAMPLE"
    secret_access_key: str = "moto takes any"
    role_arn: str = "arn:aws:iam::123456789012:role/partner-upload"
    external_id: str | None = "any"
    bucket: str = "partner-inbox"

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
        )

    def sha256(self):
        listed = self.client().list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {each["Key"]: self._digest(each["Key"]) for each in listed}

    def _digest(self, key):
        return hashlib.sha256(self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()).hexdigest()


@pytest.fixture
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = Moto(f"http://{host}:{port}", f"http://{host}:{port}")
    # moto keeps its state in the process, beyond the server that an earlier test stopped.
    with urllib.request.urlopen(urllib.request.Request(f"{account.endpoint_url}/moto-api/reset", method="POST")):
        pass
    account.client().create_bucket(Bucket=account.bucket)
    yield account
    server.stop()


def test_a_push_and_a_run_arrive_at_moto(moto, site_for):
    """With moto as the account a push and a daemon deliver every byte, in one request and in parts."""
    site = site_for(moto)
    site.in_parts()
    site.add("small", b"small")
    site.add("empty")
    site.add("large", random.Random(3).randbytes(12 * MIB + 5))
    site.add("n\N{LATIN SMALL LETTER E WITH ACUTE}w dir/100% + sure?", b"odd")
    assert site.push().startswith("Delivered 4 files ")
    assert moto.sha256() == sha256_of(site.root)
    assert site.push() == "Delivered 0 files; 4 were delivered before."
    with site.daemon() as daemon:
        site.add("later", b"while it runs")
        site.add("large", random.Random(4).randbytes(7 * MIB))
        until(lambda: len(daemon.events("file_delivered")) == 2)
        assert daemon.stop() == 0
    assert moto.sha256() == sha256_of(site.root)
    assert daemon.events("upload_failed", "destination_parked", "credentials_not_renewed") == []


def test_check_at_moto(moto, site_for):
    """Moto requires no external ID, so check fails that step; without the step it passes."""
    site = site_for(moto)
    site.destination["expected_bucket_owner"] = "none"
    site.write()

    def findings(*arguments):
        done = site.crosshaul("check", "--json", *arguments)
        output = json.loads(done.stdout)["destinations"]["partner"]["findings"]
        return done.returncode, [each for each in output if each["outcome"] == "fail"]

    code, bad = findings()
    assert (code, {each["step"] for each in bad}) == (1, {"confused_deputy"})
    assert findings("--no-confused-deputy") == (0, [])
    # The endpoint comes from the environment, so it is printed. Moto's roles may do everything.
    site.environment["AWS_ENDPOINT_URL"] = site.destination.pop("endpoint_url")
    site.write()
    done = site.crosshaul("check", "--json", "--no-confused-deputy")
    found = json.loads(done.stdout)["destinations"]["partner"]["findings"]
    assert {each.get("right") for each in found} >= {"s3:ListBucket", "s3:ListAllMyBuckets"}
    assert "from AWS_ENDPOINT_URL" in done.stderr
    site.destination["bucket"] = "nowhere-at-all"
    site.write()
    code, bad = findings("--no-confused-deputy")
    assert (code, bad[0]["step"], bad[0]["diagnosis"]["cause"]) == (1, "upload", "name of the bucket")
