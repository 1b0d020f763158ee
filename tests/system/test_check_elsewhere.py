"""`crosshaul check` with servers other than the strict account: Ceph's gateway and moto's server."""

from __future__ import annotations

import json
from typing import Any

import pytest


def checked(site, *arguments):
    """Return the exit code, the first failure as step and cause, and all findings."""
    done = site.crosshaul("check", "--json", *arguments, timeout=180)
    output = json.loads(done.stdout)["destinations"]["partner"]["findings"]
    bad = [(each["step"], each["diagnosis"]["cause"]) for each in output if each["outcome"] == "fail"]
    return done.returncode, bad[:1], output


def test_the_right_set_up_is_green(account, site_for):
    """On each store a correct set-up passes: confused deputy refused, upload, download and multipart accepted."""
    code, bad, output = checked(site_for(account))
    assert (code, bad) == (0, []), output
    good = {each["step"] for each in output if each["outcome"] == "pass"}
    assert good >= {"assume_role", "confused_deputy", "upload", "download", "multipart", "store", "machine"}


WRONG: dict[str, tuple[Any, ...]] = {
    "a wrong external ID": (
        {},
        {},
        {},
        "another-external-id",
        ("assume_role", "trust policy in B, or STS policy in A"),
    ),
    "a bucket that does not exist": ({}, {"bucket": "nowhere-at-all"}, {}, None, ("upload", "name of the bucket")),
    "STS unreachable": ({}, {}, {"sts_endpoint_url": "http://127.0.0.1:9"}, None, ("identity", "endpoint")),
    "S3 unreachable": ({}, {"endpoint_url": "http://127.0.0.1:9"}, {}, None, ("upload", "endpoint")),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(account, site_for, what):
    """On each store the failed step and the cause are named."""
    environment, destination, identity, external_id, expected = WRONG[what]
    site = site_for(account)
    site.environment |= environment
    site.destination.update(destination)
    site.config["identity"].update(identity)
    site.write()
    if external_id:
        site.external_id_file.write_text(external_id)
    code, bad, output = checked(site)
    assert (code, bad) == (1, [expected]), output
