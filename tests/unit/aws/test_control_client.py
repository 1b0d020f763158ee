"""The location of a bucket comes from botocore's endpoint rules."""

from __future__ import annotations

from typing import cast

import pytest

from crosshaul.aws.control_client import Location, S3ControlClient
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.sigv4 import Credentials
from crosshaul.config import Destination


class Given:
    """Fixed credentials."""

    async def credentials(self) -> Credentials:
        return Credentials("AKIDEXAMPLE", "secret", "token")


AWS = {
    "a plain name is a host name": ({"bucket": "inbox"}, ("https", "inbox.s3.eu-west-1.amazonaws.com", "/")),
    "dots would break the certificate": (
        {"bucket": "in.box"}, ("https", "s3.eu-west-1.amazonaws.com", "/in.box/"),
    ),
    "path style on demand": (
        {"bucket": "inbox", "addressing_style": "path"}, ("https", "s3.eu-west-1.amazonaws.com", "/inbox/"),
    ),
    "another partition": (
        {"bucket": "inbox", "region": "cn-north-1"}, ("https", "inbox.s3.cn-north-1.amazonaws.com.cn", "/"),
    ),
    "us-east-1 is regional, too": (
        {"bucket": "inbox", "region": "us-east-1"}, ("https", "inbox.s3.us-east-1.amazonaws.com", "/"),
    ),
    "a compatible store": (
        {"bucket": "inbox", "endpoint_url": "http://store.test:7480"}, ("http", "store.test", "/inbox/"),
    ),
    "a compatible store with names": (
        {"bucket": "inbox", "endpoint_url": "https://store.test", "addressing_style": "virtual"},
        ("https", "inbox.store.test", "/"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AWS)
async def test_a_bucket_is_where_the_endpoint_rules_put_it(case: str, monkeypatch: pytest.MonkeyPatch):
    """Style, partition and port come from botocore for each kind of destination."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    settings, (scheme, host, prefix) = AWS[case]
    control = S3ControlClient(Destination(name="d", **({"region": "eu-west-1"} | settings)), cast("Refresher", Given()))
    try:
        found = await control.location()
    finally:
        await control.close()
    assert (found.scheme, found.host, found.prefix) == (scheme, host, prefix)
    port = 7480 if "7480" in str(settings) else 443
    assert found == Location(scheme, host, port, host if port == 443 else f"{host}:{port}", prefix)
