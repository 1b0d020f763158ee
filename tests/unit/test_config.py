"""config: what a file comes to, and what is said of a bad one."""

from __future__ import annotations

import json
import os
import socket
from datetime import time
from importlib import resources
from pathlib import Path

import pytest

from crosshaul.config import AfterUpload, BandwidthStep, Config, Destination, HostPort, load, schema
from crosshaul.errors import ConfigError

ROLE = "role_arn: arn:aws:iam::012345678901:role/x"
SECRET = "s3cret-external-id"


def text(destination: str = "#", route: str = "#", top: str = "#", bucket: str = "partner-bucket") -> str:
    """A minimal file with lines put in: destination's stand from line 5, route's from 9, top's from 10."""
    return "\n".join(
        [
            "state_dir: /var/lib/crosshaul",
            "destinations:",
            "  partner:",
            f"    bucket: {bucket}",
            f"    {destination}",
            "routes:",
            "  - name: exports",
            "    path: /srv/exports",
            f"    {route}",
            top,
        ]
    )


def loaded(tmp_path: Path, content: str | bytes, **environment: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(path, environment)


def faults(tmp_path: Path, content: str | bytes, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, content, **environment)
    assert refused.value.exit_code == 2
    assert all("\n" not in fault for fault in refused.value.faults)
    return [fault.removeprefix(f"{tmp_path}/c.yaml:") for fault in refused.value.faults]


def test_minimal_file(tmp_path: Path) -> None:
    """A directory, a bucket and a path are enough, and the only destination need not be named."""
    config = loaded(tmp_path, text())
    assert config.state_dir == Path("/var/lib/crosshaul")
    assert config.routes[0].destination == config.destinations["partner"].name == "partner"
    assert config.destinations["partner"].external_ids() == ()
    assert config.transfer.part_size == 8 * 1024 * 1024
    assert config.retry.max == 300.0
    assert config.http.listen == HostPort(host="127.0.0.1", port=9464)


DESTINATION_FAULTS = [
    ("bukket: x", "bukket: unknown key; write bucket"),
    ("part_size: 8MiB", "part_size: unknown key; it belongs in transfer"),
    ("zzz: x", "zzz: unknown key; remove it, or write one of bucket, endpoint_url"),
    ("name: x", "name: unknown key; a destination's name is the key above it, partner; remove it"),
    ("region: EU Central", "region: 'EU Central' is not a region; write for instance eu-central-1"),
    ("region: [a]", "region: a list stands where text belongs"),
    ("region:", "region: nothing stands where text belongs"),
    ("key_prefix: /in", "key_prefix: '/in' begins with '/' or holds"),
    ("key_prefix: a/../b", "key_prefix: 'a/../b' begins with '/' or holds a '//', '.' or '..' segment; write 'a/b/'"),
    ("endpoint_url: s3.example", "endpoint_url: 's3.example' is not an http(s) address; write https://HOST"),
    ("endpoint_url: https://h/path", "endpoint_url: 'https://h/path' has something after its host; write https://h"),
    ("role_arn: arn:aws:iam::12:role/x", "role_arn: 'arn:aws:iam::12:role/x' is not a role's ARN; write arn:aws:iam::"),
    ("role_arn: ''", "role_arn: '' is not a role's ARN"),
    ("role_arn: arn:aws:sts::012345678901:assumed-role/x/y", "is a session, not a role; write arn:aws:iam::ACCOUNT"),
    (
        "role_arn: arn:aws-cn:iam::012345678901:role/x",
        "role_arn: a role of partition aws-cn can't be used in us-east-1; write region: cn-north-1 or its like",
    ),
    ("external_id: abc", "external_id: it means nothing without role_arn; add role_arn, or remove it"),
    ("external_id_file: /x", "external_id_file: it means nothing without role_arn"),
    ("external_id_file: x", "external_id_file: 'x' is not an absolute path; begin it with '/'"),
    ("session_policy: /x.json", "session_policy: it means nothing without role_arn"),
    ("session_policy: wide", "session_policy: 'wide' is no session policy; write auto, none or the absolute path"),
    ("role_session_name: a{host}", "role_session_name: 'a{host}' may hold {hostname} and no other braces"),
    ("role_session_name: a b", "role_session_name: 'a b' holds a character that STS refuses"),
    ("role_session_name: a", "role_session_name: it comes to 1 characters and STS takes 2 to 64"),
    ("duration_seconds: 899", "duration_seconds: 899 is too short for AWS; write 900 to 43200"),
    ("duration_seconds: 43201", "duration_seconds: it is more than 43200; write 43200 or less"),
    ("duration_seconds: 1h", "duration_seconds: '1h' is not a whole number; write digits only"),
    (
        "expected_bucket_owner: 1234",
        "expected_bucket_owner: '1234' is not an account; write its 12 digits, auto or none",
    ),
    ("addressing_style: vrtual", "addressing_style: 'vrtual' is not understood; write virtual"),
    ("addressing_style: [a]", "addressing_style: a list stands where one of 'auto', 'path' or 'virtual' belongs"),
    ("server_side_encryption: KMS", "server_side_encryption: 'KMS' is not understood; write "),
    ("ssekms_key_id: x", "ssekms_key_id: it needs server_side_encryption: aws:kms or aws:kms:dsse"),
    ("bucket_key_enabled: true", "bucket_key_enabled: it needs server_side_encryption: aws:kms; add that"),
    ("bucket_key_enabled: maybe", "bucket_key_enabled: 'maybe' is neither true nor false; write true or false"),
    ("storage_class: standard-ia", "storage_class: 'standard-ia' is not a storage class; write STANDARD_IA"),
    ("acl: public", "acl: 'public' is not understood; write public-read"),
    ("tags: [a]", "tags: a list stands where a mapping"),
    ("tags: {a: [b]}", "tags.a: a list stands where text belongs"),
    ("tags: {aws:x: y}", "tags: tag 'aws:x': keys that begin with aws: belong to AWS"),
    ("tags: {a: 'b!'}", "tags: tag 'a': only letters, digits, spaces and + - = . _ : / @ are taken"),
    ("tags: {a: '%s'}" % ("b" * 257), "tags: tag 'a': a key has 1 to 128 characters and a value at most 256"),
    (
        "tags: {k1: v, k2: v, k3: v, k4: v, k5: v, k6: v, k7: v, k8: v, k9: v, k10: v, k11: v}",
        "S3 takes 10 tags on an object and here are 11; remove 1",
    ),
    ("metadata: {Mtime: x}", "metadata: 'Mtime' is what crosshaul itself writes; write another name"),
    ("metadata: {crosshaul-token: x}", "metadata: 'crosshaul-token' is what crosshaul itself writes"),
    ("metadata: {x-amz-meta-a: x}", "metadata: 'x-amz-meta-a': x-amz-meta- is put before it anyway; write 'a'"),
    ("metadata: {a b: x}", "metadata: 'a b' can't be a header's name"),
    ("metadata: {a: ü}", "metadata: 'a': its value must be printable ASCII"),
    ("metadata: {a: x, A: y}", "metadata: two names differ only in case"),
    ("metadata: {a: %s}" % ("x" * 1920), "metadata: names and values come to 1921 bytes and 1920 fit"),
    ("tls_ca_bundle: ca.pem", "tls_ca_bundle: 'ca.pem' is not an absolute path"),
    ("tls_ca_bundle: {a: b}", "tls_ca_bundle: a mapping stands where a path belongs"),
]


@pytest.mark.parametrize(("line", "sentence"), DESTINATION_FAULTS)
def test_destination_faults(tmp_path: Path, line: str, sentence: str) -> None:
    """Each bad setting of a destination is one line with its place, what is wrong and what to write."""
    found = faults(tmp_path, text(destination=line))
    assert len(found) == 1
    assert found[0].startswith("5: destinations.partner.")
    assert sentence in found[0]


ROUTE_FAULTS = [
    ("destination: partnr", "destination: no destination is called 'partnr'; write partner"),
    ("destination: x", "destination: no destination is called 'x'; write one of partner"),
    ("key: '{pth}'", "key: {pth} is not a field; write {path}"),
    ("key: fixed", "key: every file would get the same key"),
    (
        "include: '*.csv'",
        "include: text stands where a list ([A, B], or lines that begin with '- ') belongs; write [\"*.csv\"]",
    ),
    ("include: []", "include: it is empty; write at least one entry"),
    ("exclude: ['#x']", "exclude[0]: '#x' is a comment in gitignore's syntax"),
    ("exclude: [a, '']", "exclude[1]: '' matches nothing"),
    ("settle: {quiet: soon}", "settle.quiet: 'soon' is not a duration; write a number with ms, s, m, h or d: 10m"),
    ("settle: {quiet: 20m}", "settle.max_wait: 10m is shorter than quiet, which is 20m; write 20m or more"),
    ("settle: {marker: '{path}'}", "settle.marker: a file can't be its own marker; write for instance {path}.done"),
    ("settle: {marker: '../x'}", "settle.marker: '../x' leaves the watched directory"),
    ("settle: {marker: '{pth}'}", "settle.marker: {pth} is not a field of a marker"),
    ("settle: {marker: '{path'}", "settle.marker: its braces don't match"),
    ("settle: {marker: '{path}.ok', quiet: 1s}", "settle: with a marker, quiet and max_wait have no effect"),
    ("settle:", "settle: nothing stands where a mapping"),
    ("rescan_interval: 0", "rescan_interval: it is not more than 0; write more"),
    ("symlinks: follow", "symlinks: 'follow' is not understood; write "),
    ("after_upload: remove", "after_upload.action: 'remove' is not understood; write "),
    ("after_upload: move", "after_upload: moving needs a directory; write after_upload: {move_to: DIR}"),
    ("after_upload: {action: delete, move_to: /x}", "after_upload.move_to: it has no effect with delete"),
    ("after_upload: {grace: 1h}", "after_upload.grace: it has no effect with keep; write {action: delete, grace: 1h}"),
    ("after_upload: {move_to: x}", "after_upload.move_to: 'x' is not an absolute path"),
    ("after_upload: {move_to: /srv/exports/}", "after_upload.move_to: it is itself watched, by routes[0]"),
    ("after_upload: [a]", "after_upload: a list stands where a mapping"),
]


@pytest.mark.parametrize(("line", "sentence"), ROUTE_FAULTS)
def test_route_faults(tmp_path: Path, line: str, sentence: str) -> None:
    """Each bad setting of a route is one line with its place, what is wrong and what to write."""
    found = faults(tmp_path, text(route=line))
    assert len(found) == 1
    assert found[0].startswith(
        "9: routes[0]." if "after_upload.action" not in sentence else "9: routes[0].after_upload"
    )
    assert sentence.replace("after_upload.action", "after_upload") in found[0]


TOP_FAULTS = [
    ("identity:", "identity: nothing stands where a mapping"),
    ("identity: {sts_endpoint_url: 5}", "identity.sts_endpoint_url: '5' is not an http(s) address"),
    ("transfer: {part_sise: 8MiB}", "transfer.part_sise: unknown key; write part_size"),
    ("transfer: {part_size: 1MiB}", "transfer.part_size: it is less than 5MiB; write 5MiB or more"),
    ("transfer: {part_size: 6GiB}", "transfer.part_size: it is more than 5GiB; write 5GiB or less"),
    ("transfer: {part_size: 8Mb}", "transfer.part_size: '8Mb' is not a size; write a number with B, KiB, MiB"),
    ("transfer: {memory_limit: 5MiB}", "transfer.memory_limit: 5MiB can't hold one part, and part_size is 8MiB"),
    ("transfer: {max_concurrency: 0}", "transfer.max_concurrency: it is less than 1; write 1 or more"),
    ("transfer: {max_concurrency: 1.5}", "transfer.max_concurrency: '1.5' is not a whole number"),
    ("transfer: {bandwidth: 20MiB}", "transfer.bandwidth: '20MiB' is not a rate; write a size per second"),
    ("transfer: {bandwidth: 0}", "transfer.bandwidth: a rate of nothing would stop all uploads"),
    ("transfer: {bandwidth: [[25:00, off]]}", "transfer.bandwidth[0]: '25:00' is not a time of day; write HH:MM"),
    ("transfer: {bandwidth: [[8:00, fast]]}", "transfer.bandwidth[0]: 'fast' is not a rate"),
    ("transfer: {bandwidth: [[8:00]]}", "transfer.bandwidth[0]: a step is a time and a rate"),
    ("transfer: {bandwidth: [[8:00, off], [08:00, 1kB/s]]}", "transfer.bandwidth: two steps begin at the same time"),
    ("retry: {initial: 10m}", "retry.max: 5m is shorter than initial, which is 10m; write 10m or more"),
    ("retry: {initial: 0}", "retry.initial: it is not more than 0; write more"),
    ("retry: {quarantine_after: 0}", "retry.quarantine_after: it is less than 1; write 1 or more"),
    ("http: {listen: 9464}", "http.listen: '9464' is not an address to listen on; write HOST:PORT or [IPv6]:PORT"),
    ("http: {listen: '::1:9464'}", "http.listen: '::1:9464' is not an address"),
    ("http: {listen: a:65536}", "http.listen: it is more than 65535; write 65535 or less"),
    ("log: {level: warn}", "log.level: 'warn' is not understood; write warning"),
    ("log: {level: 5}", "log.level: '5' is not understood; write one of debug, info, warning, error"),
    ("shutdown_timeout: -1s", "shutdown_timeout: '-1s' is not a duration"),
    ("max_concurrency: 5", "max_concurrency: unknown key; it belongs in transfer"),
    ("log: ${NO_SUCH}", "log: the environment variable NO_SUCH is not set; set it, or write ${NO_SUCH:-default}"),
    ("log: {format: '${}'}", "log.format: ${ doesn't begin a variable; write ${NAME}"),
    ("log: {format: '${A:-$x}'}", "log.format: ${ doesn't begin a variable"),
    ("log: {format: !!python/name:os.system x}", "log.format: YAML tags (!...) are not understood"),
    ("state_dir: /x", "state_dir: stands here again after line 1; keep one of the two"),
    ("? [a]\n: b", "a key must be plain text"),
    ('log: {format: "\\ud800"}', "log.format: it holds a NUL or half of a surrogate pair; remove it"),
]


@pytest.mark.parametrize(("line", "sentence"), TOP_FAULTS)
def test_other_faults(tmp_path: Path, line: str, sentence: str) -> None:
    """Each bad setting elsewhere is one line with its place, what is wrong and what to write."""
    found = faults(tmp_path, text(top=line))
    assert len(found) == 1
    assert found[0].startswith(f"10: {sentence}")


@pytest.mark.parametrize(
    ("bucket", "sentence"),
    [
        ("s3://b/in/put", "'s3://b/in/put' is more than a bucket's name; write bucket: b and key_prefix: in/put"),
        ("Upper", "'Upper' is not a bucket's name; write 3 to 63 of the characters"),
        ("ab", "'ab' is not a bucket's name"),
        ("a..b", "'a..b' is not a bucket's name"),
        ("-abc", "'-abc' is not a bucket's name"),
        ("x" * 64, "is not a bucket's name"),
        ("192.168.1.1", "'192.168.1.1' looks like an IP address"),
    ],
)
def test_bucket_names(tmp_path: Path, bucket: str, sentence: str) -> None:
    """A name that S3 would not give to a bucket is refused."""
    (found,) = faults(tmp_path, text(bucket=bucket))
    assert found.startswith("4: destinations.partner.bucket: ")
    assert sentence in found


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "1: the file is empty; write at least state_dir, destinations and routes"),
        ("# nothing\n", "1: the file is empty"),
        ("- a\n", "1: it is no mapping; write KEY: VALUE lines"),
        ("a: b\nc: [d\n", "3: not YAML at column 1: expected ',' or ']', but got '<stream end>'"),
        ("a: b\n\tc: d\n", "2: not YAML at column 1: found character"),
        (f"a: *{SECRET}\n", "1: not YAML at column 4: found undefined alias ...; quote text that begins with *"),
        ("a: b\n---\nc: d\n", "2: not YAML at column 1: but found another document"),
        (b"a: b\nc: \xe9\n", "2: byte 0xE9 is not UTF-8; save the file as UTF-8"),
        ("a: b\nc: \x07\n", "2: character U+0007 can't stand in YAML; remove it"),
        ("[" * 5000, "1: it is nested too deeply"),
        ("a: &a [*a]", "1: it is nested too deeply"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"b{n}: &a{n} [{'*a%s,' % (n - 1 if n else '') * 9}]\n" for n in range(9)),
            "1: it is nested too",
        ),
        ("a: {<<: b}", "1: not YAML at column 9: expected a mapping"),
        (b"x" * 1024 * 1024 + b"x", " it is larger than 1 MiB; give a configuration file"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: str | bytes, line: str) -> None:
    """What is no YAML mapping is refused in one line with the place, and without quoting what could be a secret."""
    (found,) = faults(tmp_path, content)
    assert found.startswith(line)
    assert SECRET not in found


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    """A directory, a missing file and one that refuses to be read are each said in one line."""
    closed = tmp_path / "memory"
    closed.symlink_to("/proc/self/mem")
    for path, sentence in [
        (tmp_path, "it is a directory; give the YAML file in it"),
        (tmp_path / "none.yaml", "there is no such file; check the path, or start from config.example.yaml"),
        (closed, "it can't be read (Input/output error); check its owner and mode"),
        (Path("a\0b"), "it can't be read (embedded null byte)"),
    ]:
        with pytest.raises(ConfigError) as refused:
            load(path)
        assert refused.value.faults[0].startswith(f"{path}: {sentence}")


def test_a_pipe_serves(tmp_path: Path) -> None:
    """A configuration can come through a pipe, as from a shell's process substitution."""
    reading, writing = os.pipe()
    os.write(writing, text().encode())
    os.close(writing)
    assert load(Path(f"/dev/fd/{reading}")).routes[0].name == "exports"
    os.close(reading)


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Every fault of a file is told in one go, in the file's order, the ones between sections among them."""
    content = """\
state_dir: state
destinations:
  a: {bucket: bucket-a}
  b: {bucket: B, regoin: us-east-1}
  c: 5
routes:
  - {name: one, path: /srv/one, destination: d}
  - {name: one, path: /srv/one/two/.., destination: a}
  - {nme: two, path: /srv/two}
  - {name: '${UNSET}', path: /srv/three, destination: a}
log: {level: loud}
"""
    assert [fault.split(": ")[:2] for fault in faults(tmp_path, content)] == [
        ["1", "state_dir"],
        ["4", "destinations.b.bucket"],
        ["4", "destinations.b.regoin"],
        ["5", "destinations.c"],
        ["7", "routes[0].destination"],
        ["8", "routes[1].name"],
        ["8", "routes[1].path"],
        ["9", "routes[2].name"],
        ["9", "routes[2].destination"],
        ["9", "routes[2].nme"],
        ["10", "routes[3].name"],
        ["11", "log.level"],
    ]


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("path: /srv/a", "path: /srv/a", "it is the same directory as routes[0].path"),
        ("path: /srv/a", "path: /srv/a/b", "it is in one tree with routes[0].path"),
        ("path: /srv/a/b", "path: /srv/a/", "it is in one tree with routes[0].path"),
        ("path: /srv/a", "path: /srv/a, key: '{path}', exclude: []", "it is the same directory as routes[0].path"),
        ("path: /srv/a", "path: /srv/ab", None),
        ("path: /srv/a", "path: /srv/a/b, destination: other", None),
        ("path: /srv/a", "path: /srv/a/b, key: 'b/{path}'", None),
        ("path: /srv/a, key: '{route}/{path}'", "path: /srv/a/b, key: '{route}/{path}'", None),
        ("path: /srv/a, exclude: [/b/]", "path: /srv/a/b", None),
    ],
)
def test_overlapping_routes(tmp_path: Path, first: str, second: str, refused: str | None) -> None:
    """Routes may share a tree unless they would send the same files to the same destination by the same rule."""
    to = {line: "" if "destination" in line else ", destination: main" for line in (first, second)}
    content = (
        "state_dir: /s\ndestinations: {main: {bucket: main}, other: {bucket: other}}\nroutes:\n"
        f"  - {{name: one, {first}{to[first]}}}\n  - {{name: two, {second}{to[second]}}}\n"
    )
    if refused is None:
        assert len(loaded(tmp_path, content).routes) == 2
    else:
        (found,) = faults(tmp_path, content)
        assert found.startswith(f"5: routes[1].path: {refused}")


def test_state_dir_in_a_watched_directory(tmp_path: Path) -> None:
    """The journal can't lie where it would be delivered itself."""
    (found,) = faults(tmp_path, text().replace("/var/lib/crosshaul", "/srv/exports/.state"))
    assert found.startswith("1: state_dir: it lies in routes[0].path")


def test_move_target_is_excluded_where_it_is_watched(tmp_path: Path) -> None:
    """What a route moves into a watched tree is left out of it, by a pattern that matches that directory alone."""
    config = loaded(tmp_path, text(route="after_upload: {move_to: '/srv/exports/sent [1]*/x'}\n    exclude: ['*.tmp']"))
    assert config.routes[0].after_upload.action == "move"
    assert config.routes[0].exclude == ("*.tmp", "/sent\\ \\[1\\]\\*/x/")
    assert loaded(tmp_path, text(route="after_upload: {move_to: /srv/sent}")).routes[0].exclude == ()


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("after_upload: keep", AfterUpload()),
        ("after_upload: delete", AfterUpload(action="delete")),
        ("after_upload: {action: delete, grace: 1h}", AfterUpload(action="delete", grace=3600)),
        ("after_upload: {move_to: /x, grace: 1.5m}", AfterUpload(action="move", move_to=Path("/x"), grace=90)),
    ],
)
def test_after_upload(tmp_path: Path, line: str, action: AfterUpload) -> None:
    """The short and the long forms of after_upload come to the same values."""
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
    """Bandwidth is off, one rate, or a timetable sorted by time; unquoted times and off mean what they look like."""
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
    """An address is a host or a bracketed IPv6 address with a port, and reads back as it was written."""
    found = loaded(tmp_path, text(top=f"http: {{listen: {listen}}}")).http.listen
    assert found is not None
    assert (found.host, found.port) == address
    assert str(found) == listen.strip("'")


@pytest.mark.parametrize("line", ["http: null", "http:", "http: {listen: null}"])
def test_http_off(tmp_path: Path, line: str) -> None:
    """Both ways of turning HTTP off work."""
    assert loaded(tmp_path, text(top=line)).http.listen is None


def test_variables(tmp_path: Path) -> None:
    """Variables stand for text in any value, with defaults; $$ is a dollar; what they hold is never read as YAML."""
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
    """External IDs, accounts, tags and metadata are the text that stands in the file, leading zeros and all."""
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
    """A file of external IDs is read anew each time, and what is wrong with it is said without quoting it."""
    secrets = tmp_path / "ids"
    destination = loaded(tmp_path, text(destination=f"{ROLE}\n    external_id_file: {secrets}")).destinations["partner"]
    for content, sentence in [
        (None, "can't be read (No such file or directory); check that it exists"),
        (b"\n", "is empty; write one external ID per line"),
        (b"\xff\xfe", "is not text; write one external ID per line"),
        (f"good\n{SECRET}!\n".encode(), "ids:2: an external ID holds only the characters"),
    ]:
        if content is not None:
            secrets.write_bytes(content)
        with pytest.raises(ConfigError, match=r"^destinations\.partner.external_id_file: ") as refused:
            destination.external_ids()
        assert sentence in str(refused.value)
        assert SECRET not in str(refused.value)
    secrets.write_text("new-id\n\n old-id \n")
    assert destination.external_ids() == ("new-id", "old-id")


@pytest.mark.parametrize(
    "line",
    [
        f"external_id: {SECRET}!",
        f"external_id: [ok-id, '{SECRET}?']",
        f"external_id: {{{SECRET}: x}}",
        f"external_id: {SECRET}\n    external_id_file: /x",
        f"external_id: !{SECRET} x",
        f"external_idd: {SECRET}",
        f"endpoint_url: https://user:{SECRET}@host",
        f"endpoint_url: https://user:{SECRET}@host:port",
    ],
)
def test_faults_do_not_quote_secrets(tmp_path: Path, line: str) -> None:
    """No fault of a secret setting shows what it was set to."""
    assert SECRET not in "\n".join(faults(tmp_path, text(destination=f"{ROLE}\n    {line}")))


def test_secrets_do_not_print(tmp_path: Path) -> None:
    """An external ID shows in no repr, str or dump of the configuration; only external_ids() gives it."""
    config = loaded(tmp_path, text(destination=f"{ROLE}\n    external_id: [{SECRET}, '${{OLD}}']"), OLD=f"{SECRET}-old")
    assert SECRET not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    assert config.destinations["partner"].external_ids() == (SECRET, f"{SECRET}-old")


def test_external_id_and_file_exclude_each_other(tmp_path: Path) -> None:
    """Two sources of external IDs are one too many."""
    found = faults(tmp_path, text(destination=f"{ROLE}\n    external_id: abc\n    external_id_file: /x"))
    assert found == ["7: destinations.partner.external_id_file: external_id is given too; keep one of the two"]


@pytest.mark.parametrize(("hostname", "name"), [("h" * 80, "crosshaul-" + "h" * 54), ("a_b c/ü", "crosshaul-a_b-c--")])
def test_session_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostname: str, name: str) -> None:
    """The host's part of a session's name is cleaned and cut to what STS takes."""
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    assert loaded(tmp_path, text()).destinations["partner"].role_session_name == name


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_partitions(tmp_path: Path, partition: str) -> None:
    """Roles of the Chinese and GovCloud partitions are taken with a region of theirs."""
    region = {"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}[partition]
    arn = f"arn:{partition}:iam::012345678901:role/path/x"
    config = loaded(tmp_path, text(destination=f"role_arn: {arn}", top=f"identity: {{region: {region}}}"))
    assert config.destinations["partner"].region == region


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("arn:aws:kms:us-east-1:012345678901:key/mrk-1234abcd", None),
        ("alias/x", "'alias/x' is not a KMS key's full ARN; write arn:aws:kms:REGION:ACCOUNT:key/ID"),
        ("arn:aws:kms:us-east-1:012345678901:alias/x", "is not a KMS key's full ARN"),
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
    """No certificate covers a dotted bucket's host name, so virtual addressing is refused over TLS only."""
    (found,) = faults(tmp_path, text(bucket="a.b.c", destination="addressing_style: virtual"))
    assert "no certificate covers a bucket name with dots as a host; write auto or path" in found
    plain = "addressing_style: virtual\n    endpoint_url: http://localhost:1"
    assert (
        loaded(tmp_path, text(bucket="a.b.c", destination=plain)).destinations["partner"].addressing_style == "virtual"
    )


@pytest.mark.parametrize(("given", "kept"), [("''", ""), ("in", "in/"), ("in/put/", "in/put/"), ("ü b", "ü b/")])
def test_key_prefix_ends_in_a_slash(tmp_path: Path, given: str, kept: str) -> None:
    """A prefix is a directory of keys, whether or not its slash was written."""
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
    """The models take plain Python values, as other code and tests make them."""
    destination = Destination(name="p", bucket="b-b", role_arn="arn:aws:iam::012345678901:role/x", duration_seconds=15)
    assert destination.expected_bucket_owner == "012345678901"


def test_shipped_schema_is_the_models() -> None:
    """The schema in the package is what the models say; ``python -m json.tool`` form, two spaces."""
    shipped = resources.files("crosshaul.config").joinpath("schema.json").read_text("utf-8")
    assert shipped == json.dumps(schema(), indent=2) + "\n", "write json.dumps(schema(), indent=2) to schema.json"
