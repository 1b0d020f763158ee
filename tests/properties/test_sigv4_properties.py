"""The signer compared with botocore's over generated requests."""

from __future__ import annotations

import datetime
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from crosshaul.aws.sigv4 import UNSIGNED_PAYLOAD, Credentials, Signer, encode_key, encode_query

HOST = "bucket.s3.eu-central-1.amazonaws.com:8443"

secrets = st.text("abcABC019/+=", min_size=1, max_size=40)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True).map(lambda name: f"x-amz-meta-{name}")
# botocore's str.split also trims what only Unicode calls a blank; the signer follows S3 there.
values = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], include_characters=" ")
)
plain = st.tuples(st.sampled_from(["content-type", "if-none-match", "user-agent", "content-md5"]), values)
headers = st.lists(st.one_of(plain, st.tuples(names, values)), max_size=6)
queries = st.lists(st.tuples(keys, keys), max_size=4)
moments = st.integers(1_000_000_000, 4_000_000_000)
requests = st.tuples(keys, queries, headers)
sessions = st.tuples(secrets, st.none() | secrets)


@settings(max_examples=300, deadline=None)
@given(sessions, requests, moments)
def test_signs_what_botocore_signs(session, asked, moment):
    """For any key, query, headers, session token and moment, both signers write the same Authorization header."""
    secret, token = session
    key, query, given_headers = asked
    path, encoded = "/" + encode_key(key), encode_query(query)
    request = AWSRequest("PUT", f"https://{HOST}{path}?{encoded}")
    for name, value in given_headers:
        request.headers.add_header(name, value)
    request.context.update(payload_signing_enabled=False, has_streaming_input=True)
    request.headers.add_header("Content-MD5", "x")
    theirs = botocore.auth.S3SigV4Auth(BotocoreCredentials("AKIA", secret, token), "s3", "eu-central-1")
    with mock.patch(
        "botocore.auth.get_current_datetime", return_value=datetime.datetime.fromtimestamp(moment, datetime.UTC)
    ):
        theirs.add_auth(request)
    signer = Signer(Credentials("AKIA", secret, token), "eu-central-1")
    sent = [*given_headers, ("content-md5", "x")]
    ours = dict(signer.sign("PUT", HOST, path, encoded, sent, UNSIGNED_PAYLOAD, moment))
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers["X-Amz-Security-Token"]
