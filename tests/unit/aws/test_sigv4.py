"""The signer against the worked examples of the Amazon S3 API Reference.

Source: "Examples: Signature Calculations" of "Signature Calculations for the Authorization Header: Transferring Payload
in a Single Chunk (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib

import pytest

from crosshaul.aws.sigv4 import EMPTY_SHA256, Credentials, Signer, encode_key, encode_query

KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"
WHEN = 1369353600.0  # 2013-05-24T00:00:00Z


def signed(method="GET", path="/", *, query="", headers=(), payload=EMPTY_SHA256, when=WHEN, keys=KEYS):
    return dict(Signer(keys, "us-east-1").sign(method, HOST, path, query, headers, payload, when))


def authorization(names: str, signature: str) -> str:
    scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"


def test_get_object_matches_the_published_signature():
    """GET Object with a Range header is signed as AWS's example says."""
    answer = signed(path="/test.txt", headers=[("range", "bytes=0-9")])
    assert answer == {
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "authorization": authorization(
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    }


def test_put_object_matches_the_published_signature():
    """PUT Object with a signed payload and a key that needs encoding is signed as AWS's example says."""
    headers = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")]
    payload = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
    answer = signed("PUT", "/" + encode_key("test$file.text"), headers=headers, payload=payload)
    assert answer["authorization"] == authorization(
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    )


def test_get_bucket_lifecycle_matches_the_published_signature():
    """A query parameter without a value is signed with an empty one."""
    assert signed(query=encode_query([("lifecycle", "")]))["authorization"] == authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    )


def test_list_objects_matches_the_published_signature():
    """Query parameters are sorted before they are signed."""
    assert signed(query=encode_query([("prefix", "J"), ("max-keys", "2")]))["authorization"] == authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    )


def test_a_new_day_has_a_new_signing_key():
    """A signer that lives over midnight signs as a new one does, and back again."""
    signer = Signer(KEYS, "us-east-1")
    for when in (WHEN - 1, WHEN, WHEN + 86_400, WHEN):
        assert dict(signer.sign("GET", HOST, "/", "", [], EMPTY_SHA256, when)) == signed(when=when)


def test_a_session_token_is_sent_and_signed():
    """A session token is added to the signed headers."""
    answer = signed(keys=Credentials("AKIAIOSFODNN7EXAMPLE", "secret", "the-token"))
    assert answer["x-amz-security-token"] == "the-token"
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in answer["authorization"]


def test_what_changes_on_the_way_is_not_signed():
    """Headers that a proxy may change are not signed."""
    headers = [("user-agent", "crosshaul"), ("expect", "100-continue"), ("x-amzn-trace-id", "1"), ("connection", "x")]
    assert signed(headers=headers) == signed()


@pytest.mark.parametrize("name", ["x-amz-content-sha256", "x-amz-date", "authorization"])
def test_a_header_of_the_signers_own_is_refused(name):
    """A header that the signer sets is refused in the input, which would duplicate it."""
    with pytest.raises(ValueError, match=name.lower()):
        signed(headers=[(name, "x")])


def test_a_host_header_is_signed_once():
    """A caller's own Host header gives the same signature as the argument."""
    assert signed(headers=[("host", HOST)]) == signed()


def test_blanks_of_a_value_are_trimmed_as_s3_does():
    """Runs of blanks count as one, and a no-break space is no blank."""
    assert signed(headers=[("x-amz-meta-a", "  a \t b ")]) == signed(headers=[("x-amz-meta-a", "a b")])
    assert signed(headers=[("x-amz-meta-a", "ä\u00a0")]) != signed(headers=[("x-amz-meta-a", "ä")])
    assert signed(headers=[("x-amz-meta-a", "a\tb"), ("x-amz-meta-b", "b")]) == signed(
        headers=[("x-amz-meta-a", "a b"), ("x-amz-meta-b", "b")]
    )


def test_secrets_stay_out_of_repr():
    """The repr of credentials has neither the secret key nor the token."""
    shown = repr(Credentials("AKIA", "s3cr3t", "t0ken"))
    assert "AKIA" in shown
    assert "s3cr3t" not in shown
    assert "t0ken" not in shown


def test_encoding_of_keys_and_queries():
    """All but unreserved characters is percent-encoded in UTF-8; a slash stays in keys and only there."""
    assert encode_key("a b/ä+~%2F*.-_") == "a%20b/%C3%A4%2B~%252F%2A.-_"
    assert encode_query([("b", "a/b"), ("a", "ü &")]) == "a=%C3%BC%20%26&b=a%2Fb"
