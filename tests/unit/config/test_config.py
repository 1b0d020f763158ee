"""Loading of valid configuration files."""

from __future__ import annotations

import os
import socket
from datetime import time
from pathlib import Path

import pytest

from crosshaul.config import AfterUploadConfig, BandwidthStep, Destination, HostPort, load
from crosshaul.config.http_server import HttpConfig
from crosshaul.config.model import HeartbeatConfig
from crosshaul.errors import ConfigError
from support.config_files import ROLE, SECRET, faults, loaded, text


def test_minimal_file(tmp_path: Path) -> None:
    """A directory, a bucket and a path are enough, and the only destination need not be named."""
    config = loaded(tmp_path, text())
    assert config.state_dir == Path("/var/lib/crosshaul")
    assert config.routes[0].destination == config.destinations["partner"].name == "partner"
    assert config.destinations["partner"].external_ids() == ()
    assert config.transfer.part_size == 8 * 1024 * 1024
    assert config.retry.max == 300.0
    assert config.http.listen == HostPort(host="127.0.0.1", port=9464)


def test_a_pipe_serves(tmp_path: Path) -> None:
    """A configuration can come through a pipe, as from a shell's process substitution."""
    reading, writing = os.pipe()
    os.write(writing, text().encode())
    os.close(writing)
    assert load(Path(f"/dev/fd/{reading}")).routes[0].name == "exports"
    os.close(reading)


def test_move_target_is_excluded_where_it_is_watched(tmp_path: Path) -> None:
    """The target of a move inside a watched tree is excluded by a pattern that matches only that directory."""
    config = loaded(tmp_path, text(route="after_upload: {move_to: '/srv/exports/sent [1]*/x'}\n    exclude: ['*.tmp']"))
    assert config.routes[0].after_upload.action == "move"
    assert config.routes[0].exclude == ("*.tmp", "/sent\\ \\[1\\]\\*/x/")
    assert loaded(tmp_path, text(route="after_upload: {move_to: /srv/sent}")).routes[0].exclude == ()


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("after_upload: keep", AfterUploadConfig()),
        ("after_upload: delete", AfterUploadConfig(action="delete")),
        ("after_upload: {action: delete, grace: 1h}", AfterUploadConfig(action="delete", grace=3600)),
        ("after_upload: {move_to: /x, grace: 1.5m}", AfterUploadConfig(action="move", move_to=Path("/x"), grace=90)),
    ],
)
def test_after_upload(tmp_path: Path, line: str, action: AfterUploadConfig) -> None:
    """The short and the long forms of after_upload give the same values."""
    assert loaded(tmp_path, text(route=line)).routes[0].after_upload == action


@pytest.mark.parametrize(
    ("line", "steps"),
    [
        ("null", ()),
        ("off", ()),
        ("20MiB/s", (BandwidthStep(bytes_per_second=20 * 1024**2),)),
        ("1000", (BandwidthStep(bytes_per_second=1000),)),
        (
            '[[19:00, off], ["08:00", 2 MB/s]]',
            (BandwidthStep(start=time(8), bytes_per_second=2_000_000), BandwidthStep(start=time(19))),
        ),
    ],
)
def test_bandwidth(tmp_path: Path, line: str, steps: tuple[BandwidthStep, ...]) -> None:
    """Bandwidth is off, one rate, or a schedule sorted by time; unquoted times and off mean what they look like."""
    assert loaded(tmp_path, text(top=f"transfer: {{bandwidth: {line}}}")).transfer.bandwidth == steps


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("'[::1]:9464'", ("::1", 9464)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_listen(tmp_path: Path, listen: str, address: tuple[str, int]) -> None:
    """A listen address is a host or a bracketed IPv6 address with a port, and its text is the one in the file."""
    found = loaded(tmp_path, text(top=f"http: {{listen: {listen}}}")).http.listen
    assert found is not None
    assert (found.host, found.port) == address
    assert str(found) == listen.strip("'")


@pytest.mark.parametrize("line", ["http: null", "http:", "http: {listen: null}"])
def test_http_off(tmp_path: Path, line: str) -> None:
    """Both ways of turning HTTP off work."""
    assert loaded(tmp_path, text(top=line)).http.listen is None


def test_variables(tmp_path: Path) -> None:
    """Variables are replaced in any value, with defaults; $$ is a dollar; their values are never parsed as YAML."""
    top = "identity: {profile: '${A}-${B:-b}-$$x-$5-$${A}'}\nlog: {level: '${LEVEL:-error}'}"
    config = loaded(tmp_path, text(top=top), A="a: {b: [c]} # d", B="")
    assert config.identity.profile == "a: {b: [c]} # d-b-$x-$5-${A}"
    assert config.log.level == "error"
    assert loaded(tmp_path, text(top="identity: {profile: '${A:-}'}")).identity.profile is None


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    """Anchors and merge keys work, and a key beside << overrides the merged one without being a duplicate."""
    route = "settle: &s {quiet: 1s, max_wait: 5s}\n  - {name: two, path: /srv/two, settle: {<<: *s, quiet: 3s}}"
    settle = loaded(tmp_path, text(route=route)).routes[1].settle
    assert (settle.quiet, settle.max_wait) == (3.0, 5.0)


def test_digits_keep_their_zeros(tmp_path: Path) -> None:
    """External IDs, accounts, tags and metadata are the text in the file, including leading zeros."""
    lines = [
        ROLE,
        "external_id: 0123",
        "expected_bucket_owner: 000000000012",
        "tags: {a: 007, b: off}",
        "metadata: {N: 1e3}",
    ]
    destination = loaded(tmp_path, text(destination="\n    ".join(lines))).destinations["partner"]
    assert destination.external_ids() == ("0123",)
    assert destination.expected_bucket_owner == "000000000012"
    assert destination.tags == {"a": "007", "b": "off"}
    assert destination.metadata == {"n": "1e3"}


@pytest.mark.parametrize(("setting", "owner"), [("auto", "012345678901"), ("none", None), ("null", None)])
def test_expected_bucket_owner(tmp_path: Path, setting: str, owner: str | None) -> None:
    """The expected owner is the role's account unless another, or none, is given."""
    config = loaded(tmp_path, text(destination=f"{ROLE}\n    expected_bucket_owner: {setting}"))
    assert config.destinations["partner"].expected_bucket_owner == owner


def test_external_ids_from_a_file(tmp_path: Path) -> None:
    """A file of external IDs is read at each call, and its errors do not quote it."""
    secrets = tmp_path / "ids"
    destination = loaded(tmp_path, text(destination=f"{ROLE}\n    external_id_file: {secrets}")).destinations["partner"]
    for content, sentence in [
        (None, "cannot be read (No such file or directory); check that it exists"),
        (b"\n", "is empty; write one external ID per line"),
        (b"\xff\xfe", "is not text; write one external ID per line"),
        (f"good\n{SECRET}!\n".encode(), "ids:2: an external ID contains only the characters"),
    ]:
        if content is not None:
            secrets.write_bytes(content)
        with pytest.raises(ConfigError, match=r"^destinations\.partner.external_id_file: ") as refused:
            destination.external_ids()
        assert sentence in str(refused.value)
        assert SECRET not in str(refused.value)
    secrets.write_text("new-id\n\n old-id \n")
    assert destination.external_ids() == ("new-id", "old-id")


def test_secrets_do_not_print(tmp_path: Path) -> None:
    """An external ID shows in no repr, str or dump of the configuration; only external_ids() gives it."""
    config = loaded(tmp_path, text(destination=f"{ROLE}\n    external_id: [{SECRET}, '${{OLD}}']"), OLD=f"{SECRET}-old")
    assert SECRET not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    assert config.destinations["partner"].external_ids() == (SECRET, f"{SECRET}-old")


def test_external_id_and_file_exclude_each_other(tmp_path: Path) -> None:
    """external_id and external_id_file exclude each other."""
    found = faults(tmp_path, text(destination=f"{ROLE}\n    external_id: abc\n    external_id_file: /x"))
    assert found == ["7: destinations.partner.external_id_file: external_id is set too; remove one of the two"]


@pytest.mark.parametrize(("hostname", "name"), [("h" * 80, "crosshaul-" + "h" * 54), ("a_b c/ü", "crosshaul-a_b-c--")])
def test_session_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostname: str, name: str) -> None:
    """The host name in a session name is cleaned and shortened to the limits of STS."""
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    assert loaded(tmp_path, text()).destinations["partner"].role_session_name == name


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_partitions(tmp_path: Path, partition: str) -> None:
    """Roles in the Chinese and GovCloud partitions are valid with a region of their partition."""
    region = {"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}[partition]
    arn = f"arn:{partition}:iam::012345678901:role/path/x"
    config = loaded(tmp_path, text(destination=f"role_arn: {arn}", top=f"identity: {{region: {region}}}"))
    assert config.destinations["partner"].region == region


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("arn:aws:kms:us-east-1:012345678901:key/mrk-1234abcd", None),
        ("alias/x", "'alias/x' is not the full ARN of a KMS key; write arn:aws:kms:REGION:ACCOUNT:key/ID"),
        ("arn:aws:kms:us-east-1:012345678901:alias/x", "is not the full ARN of a KMS key"),
        ("arn:aws:kms:eu-west-1:012345678901:key/1", "the key is in eu-west-1 and the bucket in us-east-1"),
    ],
)
def test_kms_keys(tmp_path: Path, key: str, sentence: str | None) -> None:
    """On AWS a KMS key is given by its full ARN, in the bucket's region."""
    content = text(
        destination=f"server_side_encryption: aws:kms\n    ssekms_key_id: {key}\n    bucket_key_enabled: true"
    )
    if sentence is None:
        assert loaded(tmp_path, content).destinations["partner"].ssekms_key_id == key
    else:
        (found,) = faults(tmp_path, content)
        assert sentence in found


def test_compatible_stores_have_rules_of_their_own(tmp_path: Path) -> None:
    """With endpoints of its own, a store may have short sessions, odd accounts, key ids and storage classes."""
    lines = [
        "endpoint_url: http://127.0.0.1:8000/",
        "role_arn: arn:aws:iam:::role/S3Access",
        "external_id: abc",
        "duration_seconds: 15",
        "server_side_encryption: aws:kms",
        "ssekms_key_id: testkey-1",
        "storage_class: COLD.x",
    ]
    content = text(destination="\n    ".join(lines), top="identity: {sts_endpoint_url: 'http://127.0.0.1:8000'}")
    destination = loaded(tmp_path, content).destinations["partner"]
    assert destination.endpoint_url == "http://127.0.0.1:8000"
    assert destination.duration_seconds == 15
    assert destination.expected_bucket_owner is None
    assert len(faults(tmp_path, content.replace("identity", "# identity"))) == 2


def test_dotted_bucket_over_tls_is_never_virtual(tmp_path: Path) -> None:
    """Virtual addressing of a bucket with dots is refused over TLS, because no certificate covers its host name."""
    (found,) = faults(tmp_path, text(bucket="a.b.c", destination="addressing_style: virtual"))
    assert "TLS certificates do not cover host names of buckets with dots; write auto or path" in found
    plain = "addressing_style: virtual\n    endpoint_url: http://localhost:1"
    assert (
        loaded(tmp_path, text(bucket="a.b.c", destination=plain)).destinations["partner"].addressing_style == "virtual"
    )


@pytest.mark.parametrize(("given", "kept"), [("''", ""), ("in", "in/"), ("in/put/", "in/put/"), ("ü b", "ü b/")])
def test_key_prefix_ends_in_a_slash(tmp_path: Path, given: str, kept: str) -> None:
    """A prefix gets a trailing slash."""
    assert loaded(tmp_path, text(destination=f"key_prefix: {given}")).destinations["partner"].key_prefix == kept


@pytest.mark.parametrize(
    ("written", "size"), [("8MiB", 8 * 1024**2), ("8 MB", 8 * 10**6), ("6000000", 6_000_000), ("0.01GiB", 10737418)]
)
def test_sizes(tmp_path: Path, written: str, size: int) -> None:
    """Sizes are read in binary and decimal units, fractions and plain bytes."""
    assert loaded(tmp_path, text(top=f"transfer: {{part_size: {written}}}")).transfer.part_size == size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("2s", 2), ("10m", 600), ("1.5h", 5400), ("1d", 86400), ("7", 7), ("0.5", 0.5)],
)
def test_durations(tmp_path: Path, written: str, seconds: float) -> None:
    """Durations are read in all units, and a plain number is seconds."""
    assert loaded(tmp_path, text(top=f"shutdown_timeout: {written}")).shutdown_timeout == seconds


def test_values_can_be_made_without_a_file() -> None:
    """The models accept plain Python values."""
    destination = Destination(name="p", bucket="b-b", role_arn="arn:aws:iam::012345678901:role/x", duration_seconds=15)
    assert destination.expected_bucket_owner == "012345678901"


TOKEN = "f00dcafe-f00dcafe"


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9:1"])
def test_on_loopback_no_token_is_needed(tmp_path: Path, listen: str) -> None:
    """A loopback address needs no token."""
    assert loaded(tmp_path, text(top=f"http: {{listen: '{listen}'}}")).http.secret() is None


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464", "crosshaul.example:9464"])
def test_beyond_loopback_there_has_to_be_a_token(tmp_path: Path, listen: str) -> None:
    """An address that is not loopback needs a token or a token file, and the error says so."""
    (output,) = faults(tmp_path, text(top=f"http: {{listen: '{listen}'}}"))
    assert "http.listen" in output
    assert "add token_file (or token), or write 127.0.0.1:9464" in output
    assert loaded(tmp_path, text(top=f"http: {{listen: '{listen}', token: {TOKEN}}}")).http.secret() == TOKEN
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert loaded(tmp_path, text(top=f"http: {{listen: '{listen}', token_file: {file}}}")).http.secret() == TOKEN


@pytest.mark.parametrize(
    ("section", "output"),
    [
        ("http: {token: hush-hush}", "a token has at least 16 characters, this one has 9"),
        ("http: {token: 'hush-hush hush-hush'}", "a token contains only"),
        (f"http: {{token: {TOKEN}, token_file: /x}}", "token is set too; remove one of the two"),
        ("heartbeat: {url: 'ftp://hush.example/hush'}", "not an http(s) URL"),
        ("heartbeat: {url: hush}", "not an http(s) URL"),
        ("heartbeat: {url: 'https://hush.example:hush/'}", "not an http(s) URL"),
        ("heartbeat: {url: 'https://hush.example/', url_file: /x}", "url is set too; remove one of the two"),
        ("heartbeat: {every: 10ms}", "too small; write 1 or more"),
    ],
)
def test_tokens_and_addresses_are_checked_and_never_quoted(tmp_path: Path, section: str, output: str) -> None:
    """Errors in secrets do not quote them."""
    (fault,) = faults(tmp_path, text(top=section))
    assert output in fault
    assert "hush" not in fault
    assert TOKEN not in fault


def test_a_secret_file_that_can_not_serve_is_named(tmp_path: Path) -> None:
    """The error for a missing, an empty and an invalid secret file has the key, the file and what to write."""
    file = tmp_path / "secret"
    section = f"http: {{token_file: {file}}}\nheartbeat: {{url_file: {file}}}"
    config = loaded(tmp_path, text(top=section))
    for content, output in ((None, "cannot be read"), ("", "is empty; write one"), ("hush", ":1: ")):
        if content is not None:
            file.write_text(content)
        for key, read in (("http.token_file", config.http.secret), ("heartbeat.url_file", config.heartbeat.secret)):
            with pytest.raises(ConfigError, match=output) as raised:
                read()
            assert f"{key}: {file}" in str(raised.value)
            assert "hush" not in str(raised.value)


def test_secrets_do_not_show_in_the_configuration() -> None:
    """Neither the token nor the heartbeat URL is in the text or dump of the configuration."""
    given = {"http": {"token": TOKEN}, "heartbeat": {"url": "https://monitor.example/hush"}}
    shown = "".join(
        f"{each!r} {each.model_dump()}" for each in (HttpConfig(**given["http"]), HeartbeatConfig(**given["heartbeat"]))
    )
    assert TOKEN not in shown
    assert "hush" not in shown
