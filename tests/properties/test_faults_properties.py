"""Error mapping over all responses: any bytes give a fault with one short line."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from crosshaul.aws.error_map import from_response
from crosshaul.aws.http1 import Response

PIECES = st.sampled_from(
    [
        *[
            b"<Error>",
            b"</Error>",
            b"<Code>",
            b"</Code>",
            b"SlowDown",
            b"<Message>",
            b"</Message>",
            b"<!DOCTYPE x [",
            b"]>",
        ],
        *[
            b'<!ENTITY a "b">',
            b"&a;",
            b"&lt;",
            b"<![CDATA[",
            b"]]>",
            b"<?xml version='1.0'",
            b" encoding='utf-7'",
            b"?>",
        ],
        *[
            b"<RequestId>",
            b"</RequestId>",
            b"<Region>",
            b"</Region>",
            b"\xff",
            b"\0",
            b"\n",
            b"eu-west-1",
            b"<!--",
            b"-->",
        ],
    ]
)
BODIES = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(b"".join))
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-amz-bucket-region", "x-amz-request-id"]),
    st.text(st.characters(max_codepoint=255), max_size=40),
)
OPERATIONS = st.sampled_from(["PutObject", "UploadPart", "CompleteMultipartUpload", "HeadObject"])


@given(OPERATIONS, st.integers(200, 599), HEADERS, BODIES, st.booleans())
@example("PutObject", 503, {"retry-after": "5\x1f"}, b"", False)
def test_every_answer_makes_a_fault(operation, status, headers, body, resent):
    """Any status, headers and body give one printable line, a plain code and a pause of at most an hour."""
    fault = from_response(operation, Response(status, headers, body, resent))
    diagnosis = fault.diagnosis
    assert str(fault).isprintable() or "\N{SOFT HYPHEN}" in str(fault) or "\N{NO-BREAK SPACE}" in str(fault)
    assert len(str(fault)) < 1_200
    assert diagnosis.code.isascii()
    assert diagnosis.message
    assert 0.0 <= (diagnosis.retry_after or 0.0) <= 3600.0
    assert diagnosis.ambiguous or not resent
