"""The endpoints of calls: from the configuration, else the environment; invalid names; short sessions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.config import Config, IdentityConfig, aws_profile, load
from crosshaul.errors import ConfigError

HERE = "http://127.0.0.1:9000"


def config(home: Path, environ: dict[str, str], *, endpoint: str = "", sts: str = "", profile: str = "") -> Config:
    """Return a configuration under these variables; ``profile`` is the text of the AWS config file."""
    (home / "aws").write_text(profile)
    file = home / "config.yaml"
    file.write_text(
        f"state_dir: {home}/state\n"
        f"identity: {{sts_endpoint_url: '{sts}'}}\n"
        f"destinations: {{d: {{bucket: inbox, endpoint_url: '{endpoint}'}}}}\n"
        f"routes: [{{name: r, path: {home}/root}}]\n"
    )
    return load(file, {"AWS_CONFIG_FILE": str(home / "aws"), "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"} | environ)


def where(found: Config) -> tuple[str | None, str | None]:
    return found.destinations["d"].endpoint_url, found.identity.sts_endpoint_url


SERVICES = "[default]\nservices = s\nendpoint_url = http://localhost:5\n[services s]\ns3 =\n  endpoint_url = http://localhost:6\n"


@pytest.mark.parametrize(
    ("environ", "profile", "s3", "sts"),
    [
        ({}, "", None, None),
        ({"AWS_ENDPOINT_URL": HERE}, "", HERE, HERE),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_ENDPOINT_URL_S3": "http://localhost:1"}, "", "http://localhost:1", HERE),
        ({"AWS_ENDPOINT_URL_STS": "https://sts.example/"}, "", None, "https://sts.example"),
        ({"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": ""}, "", None, None),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}, "", None, None),
        ({}, SERVICES, "http://localhost:6", "http://localhost:5"),
        ({"AWS_ENDPOINT_URL": HERE}, SERVICES, HERE, HERE),
        ({"AWS_PROFILE": "other"}, SERVICES, None, None),
        ({"AWS_PROFILE": "o"}, "[profile o]\nendpoint_url = https://s.test", "https://s.test", "https://s.test"),
    ],
)
def test_the_environment_says_where_what_the_file_leaves_open_goes(tmp_path, environ, profile, s3, sts):
    """Endpoints that the file leaves out come from the environment in the SDK's order, and each is logged."""
    found = config(tmp_path, environ, profile=profile)
    assert where(found) == (s3, sts)
    assert len(found.environment_notes) == sum(each is not None for each in (s3, sts))


def test_the_file_s_own_word_counts(tmp_path):
    """An endpoint in the file is kept, and nothing is logged."""
    found = config(tmp_path, {"AWS_ENDPOINT_URL": HERE}, endpoint="http://store.test", sts="http://sts.test")
    assert where(found) == ("http://store.test", "http://sts.test")
    assert found.environment_notes == ()


@pytest.mark.parametrize("url", ["http://10.0.0.1:9000", "ftp://h", "https://h/path", "http://localhost_1", "nonsense"])
def test_an_endpoint_that_can_t_be_used_is_a_fault(tmp_path, url):
    """The error for an unusable endpoint names the variable, also for plain http to another machine."""
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL:"):
        config(tmp_path, {"AWS_ENDPOINT_URL": url})


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("http://min_io:9000", "without '_'"),
        ("http://münchen.example", "write xn--mnchen-3ya.example"),
        ("http://-a.example", "letters, digits"),
        ("http://a..example", "letters, digits"),
        (f"http://{'a' * 64}.example", "letters, digits"),
    ],
)
@pytest.mark.parametrize("key", ["endpoint", "sts"])
def test_a_host_that_the_sdk_refuses_is_refused_with_a_remedy(tmp_path, key, url, remedy):
    """A host name that the SDK would refuse is an error of the configuration with a remedy."""
    with pytest.raises(ConfigError, match=remedy):
        config(tmp_path, {}, **{key: url})


@pytest.mark.parametrize(
    "url", ["http://[::1]:9000", "http://127.0.0.1", "http://localhost:80", "https://a-b.c1.example."]
)
def test_a_host_that_is_one_is_taken(tmp_path, url):
    """Addresses, short names and names with a final dot are valid."""
    assert config(tmp_path, {}, endpoint=url).destinations["d"].endpoint_url == url


def test_a_profile_s_name_may_be_quoted(tmp_path):
    """Profile names with blanks, as `aws configure` writes them, are found, in the credentials file too."""
    file, secrets = tmp_path / "config", tmp_path / "credentials"
    file.write_text('[profile "a b"]\nca_bundle = ~/x.pem\n[broken "quote]\ny = z\n')
    secrets.write_text("[c]\nca_bundle = /c.pem\n")
    environ = {"AWS_CONFIG_FILE": str(file), "AWS_SHARED_CREDENTIALS_FILE": str(secrets)}
    assert aws_profile.read("a b", environ).ca_bundle == "~/x.pem"
    assert aws_profile.read("c", environ).ca_bundle == "/c.pem"
    assert aws_profile.read("gone", environ).ca_bundle is None
    file.write_text("[[[ nonsense")
    assert aws_profile.read("a b", environ) == aws_profile.Profile("a b")


SESSION = (
    b"<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult><Credentials>"
    b"<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    b"<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
)


async def test_a_store_s_sts_is_asked_for_sessions_of_a_minute(monkeypatch):
    """`duration_seconds` from 1 works with `sts_endpoint_url`: the store applies its own rules."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        asked.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(SESSION), SESSION))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wanted = {"RoleArn": "arn:x:iam:::role/r", "RoleSessionName": "name", "DurationSeconds": 60}
        given = await BaseCredentials(IdentityConfig(sts_endpoint_url=url)).assume_role(wanted)
    assert given["Credentials"]["AccessKeyId"] == "ASIAEXAMPLE"
    assert b"DurationSeconds=60" in asked[0]


def test_a_file_of_external_ids_may_begin_with_a_mark(tmp_path):
    """The byte order mark of an editor is not part of the external ID."""
    (tmp_path / "id").write_bytes(b"\xef\xbb\xbfthe-agreed-one\r\n")
    file = tmp_path / "config.yaml"
    role = "role_arn: 'arn:aws:iam::222222222222:role/r'"
    file.write_text(
        f"state_dir: {tmp_path}/state\n"
        f"destinations: {{d: {{bucket: inbox, {role}, external_id_file: {tmp_path}/id}}}}\n"
        f"routes: [{{name: r, path: {tmp_path}/root}}]\n"
    )
    assert load(file, {}).destinations["d"].external_ids() == ("the-agreed-one",)
