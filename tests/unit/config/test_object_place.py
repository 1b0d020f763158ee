"""The place of a destination's objects."""

from __future__ import annotations

import pytest

from crosshaul.config.object_place import place_at

SAME = [
    (None, "https://s3.eu-west-1.amazonaws.com"),
    (None, "https://bucket.vpce-1a2b3c.s3.eu-west-1.vpce.amazonaws.com"),
    ("https://minio.example", "https://MINIO.example:443/"),
    ("http://[::1]:80", "http://[::1]"),
]
OTHER = [
    (None, "https://minio.example"),
    ("https://minio.example", "http://minio.example"),
    ("https://minio.example", "https://minio.example:9000"),
    ("https://minio.example/a", "https://minio.example/b"),
    (None, "https://amazonaws.com.example"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_addresses_of_one_store_are_one_place(one: str | None, other: str | None) -> None:
    """AWS endpoints, and spellings of one address, are one place."""
    assert place_at(one, "eu-west-1", "b") == place_at(other, "eu-west-1", "b")


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other_stores_are_other_places(one: str | None, other: str | None) -> None:
    """Another scheme, host, port or path is another place."""
    assert place_at(one, "eu-west-1", "b") != place_at(other, "eu-west-1", "b")


def test_a_bucket_is_one_in_all_regions_of_a_partition() -> None:
    """The name of a bucket is unique in a partition; China and GovCloud are separate partitions."""
    assert place_at(None, "us-east-1", "b") == place_at(None, "eu-central-1", "b")
    assert len({place_at(None, region, "b") for region in ("us-east-1", "cn-north-1", "us-gov-west-1")}) == 3
