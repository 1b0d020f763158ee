"""Identifiers from a store are bounded, because the journal keeps them per file."""

from __future__ import annotations

import pytest

from crosshaul.aws import bucket_queries, returned_ids, upload_client

LONG = "x" * 30_000


def test_answers_keep_no_more_than_a_person_can_use() -> None:
    """Both clients truncate a request id of 30 KB, and drop a version id of that length."""
    by_upload_client = upload_client._upload_result({"etag": "e", "x-amz-version-id": LONG, "x-amz-request-id": LONG})
    over_botocore = bucket_queries.upload_result(
        {"ETag": "e", "VersionId": LONG, "ResponseMetadata": {"RequestId": LONG}}
    )
    for answer in (by_upload_client, over_botocore):
        assert answer.version_id is None
        assert len(answer.request_id or "") == returned_ids.MAX_REQUEST_ID_CHARACTERS


@pytest.mark.parametrize("given", ["4442587FB7D0A2F9", "tx0000-1-default"])
def test_usual_ones_stay_as_they_are(given: str) -> None:
    """Request and version ids of AWS and Ceph are unchanged; none is None."""
    assert (returned_ids.request_id(given), returned_ids.version_id(given)) == (given, given)
    assert (returned_ids.request_id(None), returned_ids.version_id("")) == (None, None)


def test_a_request_id_moves_no_cursor() -> None:
    """A request id is printable, because terminals show it."""
    assert returned_ids.request_id("a\x1b[2Jb") == "a\\x1b[2Jb"
