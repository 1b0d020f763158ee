"""Where objects lie: one store and one bucket, whatever name a destination has and however it is reached."""

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
"""By how the names of their regions begin; a bucket's name is one bucket in all of a partition."""
_AWS_HOST = re.compile(r"(.+\.)?(amazonaws\.com(\.cn)?|api\.aws)")
_USUAL_PORTS = {"http": 80, "https": 443}


def place_at(endpoint_url: str | None, region: str, bucket: str) -> Place:
    """The place of a bucket. AWS's own addresses (a VPC endpoint's, for instance) all lead to one store."""
    address = urlsplit(endpoint_url or "")
    host = address.hostname or ""
    if endpoint_url is None or _AWS_HOST.fullmatch(host):
        return Place(partition_of_region(region), bucket)
    port = "" if address.port in {None, _USUAL_PORTS.get(address.scheme)} else f":{address.port}"
    shown = f"[{host}]" if ":" in host else host
    return Place(f"{address.scheme}://{shown}{port}{address.path.rstrip('/')}", bucket)


def partition_of_region(region: str) -> str:
    """AWS's partition that a region belongs to."""
    return next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")
