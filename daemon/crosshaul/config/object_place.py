"""The place of objects: the store and the bucket, whatever the destination's name and endpoint."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from crosshaul.model import Place

_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
)
"""Partitions by the prefix of their region names. The name of a bucket is unique within a partition."""
_AWS_HOST = re.compile(r"(.+\.)?(amazonaws\.com(\.cn)?|api\.aws)")
_USUAL_PORTS = {"http": 80, "https": 443}


def place_at(endpoint_url: str | None, region: str, bucket: str) -> Place:
    """Return the place of a bucket. All AWS endpoints, such as those of a VPC, are one store."""
    address = urlsplit(endpoint_url or "")
    host = address.hostname or ""
    if endpoint_url is None or _AWS_HOST.fullmatch(host):
        return Place(partition_of_region(region), bucket)
    port = "" if address.port in {None, _USUAL_PORTS.get(address.scheme)} else f":{address.port}"
    shown = f"[{host}]" if ":" in host else host
    return Place(f"{address.scheme}://{shown}{port}{address.path.rstrip('/')}", bucket)


def partition_of_region(region: str) -> str:
    """Return the AWS partition of a region."""
    return next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")
