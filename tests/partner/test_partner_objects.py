"""Objects and the permissions that they need."""

from __future__ import annotations

import datetime
import gc

import pytest

from crosshaul.partner import Settings, document, statement
from support.partner_client import raw, refused, s3, serving, session

ODD_KEYS = [
    "a//b", "/lead", "//lead", "../up", "a/./b", "a%20b", "a%2Fb", "sp ace+plus", "ünï\u0308", "new\nline", "tab\t",
    "x/", "a?b#c&d=e;f", "q'*()~!@$", "\x01control", "emoji\U0001f600", "back\\slash", '<&">',
]  # fmt: skip


@pytest.fixture(scope="module")
def account():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def client(account):
    return s3(account)


@pytest.fixture(scope="module")
def admin_account():
    everything = document(statement(["*"], "*"))
    with serving(Settings(role_policy=everything)) as served:
        yield served


@pytest.fixture
def admin(admin_account):
    return s3(admin_account)


@pytest.mark.parametrize("key", [*ODD_KEYS, "k" * 1024, "ü" * 512])
def test_odd_keys_come_back_as_they_went(account, client, key):
    """A key's bytes survive as they are, in the store and on the way back."""
    client.put_object(Bucket=account.bucket, Key=key, Body=key.encode())
    assert account.read(key) == key.encode()
    assert client.get_object(Bucket=account.bucket, Key=key)["Body"].read() == key.encode()


def test_a_listing_names_odd_keys_exactly(admin_account, admin):
    """ListObjectsV2 says the same keys, in pages, with and without a delimiter."""
    for key in ODD_KEYS:
        admin.put_object(Bucket=admin_account.bucket, Key=f"odd/{key}", Body=b"")
    pages = admin.get_paginator("list_objects_v2").paginate(
        Bucket=admin_account.bucket, Prefix="odd/", PaginationConfig={"PageSize": 5}
    )
    found = [each["Key"] for page in pages for each in page["Contents"]]
    assert found == sorted((f"odd/{key}" for key in ODD_KEYS), key=str.encode)
    folders = admin.list_objects_v2(Bucket=admin_account.bucket, Prefix="odd/a", Delimiter="/")
    assert [each["Prefix"] for each in folders["CommonPrefixes"]] == ["odd/a/"]
    assert [each["Key"] for each in folders["Contents"]] == ["odd/a%20b", "odd/a%2Fb", "odd/a?b#c&d=e;f"]


def test_an_object_keeps_all_that_was_said_of_it(account):
    """Metadata, content type, storage class, ETag, size and the count of writes are kept and come back."""
    client = s3(account, verify=None)
    said = {"Metadata": {"mtime": "1.5", "name": "v"}, "ContentType": "text/csv", "StorageClass": "STANDARD_IA"}
    client.put_object(Bucket=account.bucket, Key="told", Body=b"first", **said)
    put = client.put_object(Bucket=account.bucket, Key="told", Body=b"second", **said)
    got = client.head_object(Bucket=account.bucket, Key="told")
    assert {name: got[name] for name in said} == said
    assert got["ETag"] == put["ETag"] == '"a9f0e61a137d86aa9db53465e0801612"'
    assert got["ContentLength"] == 6
    assert account.objects["told"].writes == 2


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("bytes=0-26", b"0123456789"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=-30", b"0123456789"),
    ],
)
def test_ranges(account, client, asked, got):
    """A range gets 206, its bytes and their position."""
    client.put_object(Bucket=account.bucket, Key="range", Body=b"0123456789")
    answer = client.get_object(Bucket=account.bucket, Key="range", Range=asked)
    assert answer["Body"].read() == got
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"].endswith("/10")


def test_a_range_beyond_the_end_is_refused(account, client):
    """A range that starts behind the last byte is 416 InvalidRange, of an empty object too."""
    client.put_object(Bucket=account.bucket, Key="empty", Body=b"")
    with refused() as refusal:
        client.get_object(Bucket=account.bucket, Key="empty", Range="bytes=0-26")
    assert refusal == (416, "InvalidRange")


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("list_objects_v2", {}),
        ("delete_object", {"Key": "a"}),
        ("head_bucket", {}),
        ("get_object_acl", {"Key": "a"}),
        ("put_object_tagging", {"Key": "a", "Tagging": {"TagSet": []}}),
        ("abort_multipart_upload", {"Key": "a", "UploadId": "u"}),
        ("list_parts", {"Key": "a", "UploadId": "u"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": "a"}]}}),
        ("create_bucket", {}),
        ("put_object", {"Key": "a", "Body": b"", "Tagging": "a=b"}),
        ("put_object", {"Key": "a", "Body": b"", "ACL": "bucket-owner-full-control"}),
        ("put_object", {"Key": "a", "Body": b"", "ExpectedBucketOwner": "333333333333"}),
        ("get_object", {"Key": "missing"}),
        ("head_object", {"Key": "missing"}),
    ],
)
def test_only_put_and_get_are_allowed(account, client, call, parameters):
    """By default the role may put and get: all else is 403, a missing key too."""
    with refused() as refusal:
        getattr(client, call)(Bucket=account.bucket, **parameters)
    assert refusal.status == 403
    assert refusal.code in {"AccessDenied", "403"}


def test_the_service_itself_is_refused(client):
    """Listing the partner's buckets is 403."""
    with refused() as refusal:
        client.list_buckets()
    assert refusal == (403, "AccessDenied")


def test_the_refusal_says_who_may_not_do_what(account, client):
    """A 403 names the session, the action and the resource, as IAM words it."""
    with refused() as refusal:
        client.delete_object(Bucket=account.bucket, Key="a/b")
    assert refusal.message == (
        "User: arn:aws:sts::222222222222:assumed-role/partner-upload/tests is not authorized to perform: "
        's3:DeleteObject on resource: "arn:aws:s3:::partner-inbox/a/b" because no identity-based policy allows the '
        "s3:DeleteObject action"
    )


def test_another_bucket_is_refused(account, client):
    """A bucket that the role has no right on is 403, one that isn't there is 404."""
    with refused() as other:
        client.put_object(Bucket="partner-other", Key="a", Body=b"")
    with refused() as missing:
        client.put_object(Bucket="no-such-bucket", Key="a", Body=b"")
    assert other == (403, "AccessDenied")
    assert missing == (404, "NoSuchBucket")


def test_with_list_bucket_a_missing_key_is_404():
    """With s3:ListBucket a missing key is NoSuchKey, and HEAD's bare 404."""
    with serving(Settings(role_actions=("s3:ListBucket",))) as account:
        client = s3(account)
        with refused() as got:
            client.get_object(Bucket=account.bucket, Key="missing")
        with refused() as headed:
            client.head_object(Bucket=account.bucket, Key="missing")
    assert got == (404, "NoSuchKey")
    assert headed == (404, "404")


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ({"Key": "k" * 1025}, (400, "KeyTooLongError")),
        ({"Key": "ü" * 513}, (400, "KeyTooLongError")),
        ({"Metadata": {"m": "v" * 2048}}, (400, "MetadataTooLarge")),
        ({"StorageClass": "CHEAP"}, (400, "InvalidStorageClass")),
        ({"ACL": "public-read"}, (400, "AccessControlListNotSupported")),
        ({"GrantRead": "id=1"}, (400, "AccessControlListNotSupported")),
        ({"Tagging": "&".join(f"{n}={n}" for n in range(11))}, (400, "BadRequest")),
        ({"ContentMD5": "nonsense"}, (400, "InvalidDigest")),
        ({"ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, (400, "BadDigest")),
        ({"ServerSideEncryption": "rot13"}, (400, "InvalidArgument")),
        ({"IfNoneMatch": "etag"}, (501, "NotImplemented")),
    ],
)
def test_what_s3_refuses_of_anybody(admin_account, admin, parameters, answer):
    """Limits and bad headers are refused with S3's own codes, and nothing is stored."""
    before = dict(admin_account.objects)
    with refused() as refusal:
        admin.put_object(**{"Bucket": admin_account.bucket, "Key": "limits", "Body": b"body", **parameters})
    assert refusal == answer
    assert admin_account.objects == before


def test_what_is_allowed_is_kept(admin_account, admin):
    """With the rights for them, tags and bucket-owner-full-control are accepted."""
    admin.put_object(
        Bucket=admin_account.bucket, Key="tagged", Body=b"", Tagging="a=1&b=%20", ACL="bucket-owner-full-control"
    )
    assert admin_account.objects["tagged"].tags == {"a": "1", "b": " "}
    assert admin.head_object(Bucket=admin_account.bucket, Key="tagged")["TagCount"] == 2


def test_five_gib_is_the_limit_of_one_put(admin_account):
    """A PutObject that announces more than 5 GiB is refused before its body."""
    headers = {"x-amz-decoded-content-length": str(5 * 1024**3 + 1)}
    answer = raw(admin_account, "PUT", f"/{admin_account.bucket}/big", session(admin_account), headers=headers)
    assert (answer.status, answer.code) == (400, "EntityTooLarge")


def test_a_length_must_be_announced(account):
    """A PutObject in chunked transfer coding without its decoded length is 411."""
    answer = raw(
        account, "PUT", f"/{account.bucket}/length", session(account), headers={"transfer-encoding": "chunked"}
    )
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def test_conditional_writes(account, client):
    """If-None-Match: * needs PutObject only, and refuses the second write; If-Match wants the ETag that is there."""
    first = client.put_object(Bucket=account.bucket, Key="once", Body=b"first", IfNoneMatch="*")
    with refused() as second:
        client.put_object(Bucket=account.bucket, Key="once", Body=b"second", IfNoneMatch="*")
    with refused() as other:
        client.put_object(Bucket=account.bucket, Key="once", Body=b"third", IfMatch='"0"')
    with refused() as missing:
        client.put_object(Bucket=account.bucket, Key="never", Body=b"", IfMatch=first["ETag"])
    assert second == other == (412, "PreconditionFailed")
    assert missing == (403, "AccessDenied")
    assert account.read("once") == b"first"
    client.put_object(Bucket=account.bucket, Key="once", Body=b"fourth", IfMatch=first["ETag"])
    assert account.read("once") == b"fourth"


@pytest.mark.parametrize(
    ("quality", "answer"), [("ignored", None), ("ignored at complete", (412, "PreconditionFailed")),
    ("refused", (501, "NotImplemented"))],
)  # fmt: skip
def test_stores_that_know_no_conditional_writes(quality, answer):
    """Conditions can be ignored, refused, or checked in PutObject only, as Ceph 16 does."""
    with serving(Settings(conditions=quality)) as account:
        client = s3(account)
        target = {"Bucket": account.bucket, "Key": "once"}
        client.put_object(**target, Body=b"first")
        for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}):
            if answer is None:
                client.put_object(**target, Body=b"second", **condition)
            else:
                with refused() as refusal:
                    client.put_object(**target, Body=b"second", **condition)
                assert refusal == answer
        assert account.read("once") == (b"first" if answer else b"second")


def test_one_condition_at_a_time(account, client):
    """If-Match together with If-None-Match is NotImplemented."""
    with refused() as refusal:
        client.put_object(Bucket=account.bucket, Key="both", Body=b"", IfNoneMatch="*", IfMatch='"0"')
    assert refusal == (501, "NotImplemented")


def test_if_match_needs_the_right_to_read():
    """A role that may only put is refused If-Match, whatever lies there; without it the object is replaced."""
    bucket = "arn:aws:s3:::partner-inbox/*"
    with serving(Settings(role_policy=document(statement(["s3:PutObject"], bucket)))) as account:
        client = s3(account)
        tag = client.put_object(Bucket=account.bucket, Key="once", Body=b"first")["ETag"]
        with refused() as refusal:
            client.put_object(Bucket=account.bucket, Key="once", Body=b"second", IfMatch=tag)
        assert refusal == (403, "AccessDenied")
        client.put_object(Bucket=account.bucket, Key="once", Body=b"second")


def test_conditional_reads(account, client):
    """GET answers 412 and 304 as its conditions say."""
    tag = client.put_object(Bucket=account.bucket, Key="conditions", Body=b"x")["ETag"]
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    target = {"Bucket": account.bucket, "Key": "conditions"}
    assert client.get_object(**target, IfMatch=tag)["Body"].read() == b"x"
    for condition, status in (
        ({"IfMatch": '"0"'}, 412),
        ({"IfNoneMatch": tag}, 304),
        ({"IfModifiedSince": later}, 304),
        ({"IfUnmodifiedSince": later - datetime.timedelta(hours=2)}, 412),
    ):
        with refused() as refusal:
            client.get_object(**target, **condition)
        assert refusal.status == status


def test_an_error_has_s3s_shape(account):
    """An S3 error names code, message, request id and host id, and repeats the request id in a header."""
    answer = raw(account, "GET", f"/{account.bucket}?list-type=2", session(account))
    for name in ("Code", "Message", "RequestId", "HostId"):
        assert f"<{name}>".encode() in answer.body
    assert answer.headers["x-amz-request-id"].encode() in answer.body


def test_the_bucket_policy_alone_lets_account_a_in():
    """In direct mode both accounts must allow: the user's policy alone isn't enough, with the bucket's policy it is."""
    user = document(statement(["s3:PutObject"], "arn:aws:s3:::partner-inbox/*"))
    with serving(Settings(user_policy=user)) as account:
        direct = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret_access_key}
        with refused() as alone:
            s3(account, direct).put_object(Bucket=account.bucket, Key="a", Body=b"")
        principal = {"AWS": "arn:aws:iam::111111111111:root"}
        allow = statement(["s3:PutObject"], "arn:aws:s3:::partner-inbox/*", Principal=principal)
        account.change(bucket_policy=document(allow))
        s3(account, direct).put_object(Bucket=account.bucket, Key="a", Body=b"")
    assert alone == (403, "AccessDenied")


def test_a_deny_in_the_bucket_policy_wins():
    """A bucket policy that demands TLS refuses the role's session over plain http, and says that it was a deny."""
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::partner-inbox/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    with serving(Settings(bucket_policy=document(deny))) as account, refused() as refusal:
        s3(account).put_object(Bucket=account.bucket, Key="a", Body=b"")
    assert refusal == (403, "AccessDenied")
    assert "with an explicit deny in a resource-based policy" in refusal.message


KEY = Settings().kms_keys[0]


def test_kms_needs_its_rights_and_its_key():
    """Encrypting needs kms:GenerateDataKey, reading and multipart kms:Decrypt as well, and the key must exist."""
    wanted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY, "BucketKeyEnabled": True}
    with serving() as account:
        target = {"Bucket": account.bucket, "Key": "secret"}
        with refused() as without:
            s3(account).put_object(**target, Body=b"x", **wanted)
        account.change(role_actions=["kms:GenerateDataKey"])
        put = s3(account).put_object(**target, Body=b"x", **wanted)
        with refused() as reading:
            s3(account).get_object(**target)
        with refused() as parts:
            s3(account).create_multipart_upload(**target, **wanted)
        account.change(role_actions=["kms:GenerateDataKey", "kms:Decrypt"])
        got = s3(account).get_object(**target)
        s3(account).create_multipart_upload(**target, **wanted)
        with refused() as unknown:
            s3(account).put_object(**target, Body=b"x", **{**wanted, "SSEKMSKeyId": KEY.rpartition("/")[2]})
    assert without == reading == parts == (403, "AccessDenied")
    assert f'kms:GenerateDataKey on resource: "{KEY}" because no identity-based policy' in without.message
    assert {name: put[name] for name in wanted} == {name: got[name] for name in wanted} == wanted
    assert unknown == (400, "KMS.NotFoundException")


def test_the_buckets_own_encryption_needs_the_rights_too():
    """A bucket that encrypts with a key by default refuses a plain put without kms:GenerateDataKey."""
    with serving(Settings(default_encryption=KEY)) as account:
        with refused() as refusal:
            s3(account).put_object(Bucket=account.bucket, Key="a", Body=b"")
        account.change(role_actions=["kms:GenerateDataKey"])
        put = s3(account).put_object(Bucket=account.bucket, Key="a", Body=b"")
    assert refusal == (403, "AccessDenied")
    assert put["SSEKMSKeyId"] == KEY


def test_what_is_written_over_leaves_the_disk(tmp_path):
    """The spool keeps one file for a big object, however often it is written."""
    with serving(Settings(spool=tmp_path)) as account:
        client = s3(account)
        for _ in range(4):
            client.put_object(Bucket=account.bucket, Key="big", Body=b"x" * 1_000_000)
        gc.collect()
        assert len([path for path in tmp_path.iterdir() if path.stat().st_size]) == 1
    assert list(tmp_path.iterdir()) == []


async def test_it_serves_in_the_same_loop(partner):
    """The account serves beside other tasks of one loop, and describes itself completely."""
    assert partner.describe()["endpoint_url"].startswith("http://127.0.0.1:")
    assert partner.describe()["external_id"] == partner.external_id
    assert partner.objects == {}
