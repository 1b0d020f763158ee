"""The attributes of an object besides its bytes, for botocore and for the upload client."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from crosshaul.aws.object_headers import ObjectAttributes
from crosshaul.config import Destination

KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def destination(**settings: object) -> Destination:
    return Destination.model_validate({"name": "partner", "bucket": "partner-bucket", **settings})


def headers(key: str = "a.csv", mtime_ns: int = 0, **settings: object) -> dict[str, str]:
    return dict(ObjectAttributes(destination(**settings)).headers(key, mtime_ns, "token"))


def test_nothing_is_sent_that_nobody_asked_for():
    """A plain destination's objects have a type, the token and the time, and no header that needs another right."""
    assert headers(mtime_ns=1_700_000_000_123_456_789) == {
        "content-type": "text/csv",
        "x-amz-meta-crosshaul-token": "token",
        "x-amz-meta-mtime": "1700000000.123456789",
    }


def test_all_that_can_be_asked_for():
    """Each setting has the header of PutObject's API reference."""
    sent = headers(
        role_arn="arn:aws:iam::111122223333:role/r",
        server_side_encryption="aws:kms",
        ssekms_key_id=KEY_ARN,
        bucket_key_enabled=False,
        storage_class="STANDARD_IA",
        acl="bucket-owner-full-control",
        tags={"team": "a b/c+d=é", "empty": ""},
        metadata={"Origin": "account a"},
    )
    assert sent == {
        "content-type": "text/csv",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": KEY_ARN,
        "x-amz-server-side-encryption-bucket-key-enabled": "false",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-acl": "bucket-owner-full-control",
        "x-amz-tagging": "team=a%20b%2Fc%2Bd%3D%C3%A9&empty=",
        "x-amz-expected-bucket-owner": "111122223333",
        "x-amz-meta-origin": "account a",
        "x-amz-meta-crosshaul-token": "token",
        "x-amz-meta-mtime": "0.000000000",
    }


def test_tags_are_a_query_string():
    """Tags survive the header, which AWS reads as URL query parameters."""
    tags = {"a+b": "c d", "ü": "100@x", "k": "="}
    sent = headers(tags=tags)["x-amz-tagging"]
    assert parse_qs(sent, strict_parsing=True) == {key: [value] for key, value in tags.items()}


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (-500_000_000, "-0.500000000"),
        (-1_500_000_000, "-1.500000000"),
        (253_402_300_799_999_999_999, "253402300799.999999999"),
    ],
)
def test_the_time_is_exact(mtime_ns, text):
    """Nanoseconds are kept, also before 1970 and where a float has no digits left."""
    assert headers(mtime_ns=mtime_ns)["x-amz-meta-mtime"] == text


@pytest.mark.parametrize(
    ("key", "type_"),
    [
        ("in/report.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.csv.bz2", "application/x-bzip2"),
        ("a.csv.xz", "application/x-xz"),
        ("no-suffix", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("a.html/b", "application/octet-stream"),
        ("q?x=1#y.json", "application/json"),
        ("//[not-a-url.txt", "text/plain"),
        ("data:text/html;x,y", "application/octet-stream"),
        ("data:a/b\r\nx-amz-acl: public-read,x", "application/octet-stream"),
        ("a.tx\nt", "application/octet-stream"),
        ("ü.é", "application/octet-stream"),
    ],
)
def test_the_type_follows_the_suffix_and_nothing_else(key, type_):
    """Only the suffix determines the type, whatever the key looks like to a URL parser."""
    assert headers(key)["content-type"] == type_


def test_both_uses_see_the_same():
    """The attributes for botocore and for the upload client are the same."""
    attributes = ObjectAttributes(destination(storage_class="STANDARD_IA", metadata={"a": "b"}))
    output, sent = attributes.parameters_of("a.csv", 0, "token"), dict(attributes.headers("a.csv", 0, "token"))
    assert (output["StorageClass"], output["ContentType"]) == (sent["x-amz-storage-class"], sent["content-type"])
    assert output["Metadata"] == {"a": "b", "crosshaul-token": "token", "mtime": "0.000000000"}
    assert output["Metadata"] == {name[11:]: sent[name] for name in sent if name.startswith("x-amz-meta-")}
