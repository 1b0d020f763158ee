"""The error messages for invalid configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosshaul.config import load
from crosshaul.errors import ConfigError
from support.config_files import ROLE, SECRET, faults, loaded, text

DESTINATION_FAULTS = [
    ("bukket: x", "bukket: unknown key; write bucket"),
    ("part_size: 8MiB", "part_size: unknown key; move it to transfer"),
    ("zzz: x", "zzz: unknown key; remove it, or write one of bucket, endpoint_url"),
    ("name: x", "name: unknown key; the name of the destination is the key above, partner; remove this one"),
    ("region: EU Central", "region: 'EU Central' is not a region; write for example eu-central-1"),
    ("region: [a]", "region: a list instead of text; write text, or remove it"),
    ("region:", "region: empty; write text, or remove it"),
    ("key_prefix: /in", "key_prefix: '/in' begins with '/' or contains"),
    (
        "key_prefix: a/../b",
        "key_prefix: 'a/../b' begins with '/' or contains a '//', '.' or '..' segment; write 'a/b/'",
    ),
    ("endpoint_url: s3.example", "endpoint_url: 's3.example' is not an http(s) URL; write https://HOST"),
    (
        "endpoint_url: https://h/path",
        "endpoint_url: 'https://h/path' has a path or query after the host; write https://h",
    ),
    (
        "role_arn: arn:aws:iam::12:role/x",
        "role_arn: 'arn:aws:iam::12:role/x' is not the ARN of a role; write arn:aws:iam::",
    ),
    ("role_arn: ''", "role_arn: '' is not the ARN of a role"),
    ("role_arn: arn:aws:sts::012345678901:assumed-role/x/y", "is a session, not a role; write arn:aws:iam::ACCOUNT"),
    (
        "role_arn: arn:aws-cn:iam::012345678901:role/x",
        (
            "role_arn: a role in partition aws-cn cannot be used in us-east-1; "
            "write a region of that partition, such as cn-north-1"
        ),
    ),
    ("external_id: abc", "external_id: it needs role_arn; add role_arn, or remove it"),
    ("external_id_file: /x", "external_id_file: it needs role_arn"),
    ("external_id_file: x", "external_id_file: 'x' is not an absolute path; start it with '/'"),
    ("session_policy: /x.json", "session_policy: it needs role_arn"),
    ("session_policy: wide", "session_policy: 'wide' is not a session policy; write auto, none or the absolute path"),
    ("role_session_name: a{host}", "role_session_name: 'a{host}' may contain {hostname} but no other braces"),
    ("role_session_name: a b", "role_session_name: 'a b' contains a character that STS refuses"),
    ("role_session_name: a", "role_session_name: the name has 1 characters, STS allows 2 to 64"),
    ("duration_seconds: 899", "duration_seconds: 899 is below the minimum of AWS; write 900 to 43200"),
    ("duration_seconds: 43201", "duration_seconds: too large; write 43200 or less"),
    ("duration_seconds: 1h", "duration_seconds: '1h' is not a whole number; write digits only"),
    (
        "expected_bucket_owner: 1234",
        "expected_bucket_owner: '1234' is not an account id; write 12 digits, auto or none",
    ),
    ("addressing_style: vrtual", "addressing_style: unknown value 'vrtual'; write virtual"),
    ("addressing_style: [a]", "addressing_style: a list instead of one of 'auto', 'path' or 'virtual'"),
    ("server_side_encryption: KMS", "server_side_encryption: unknown value 'KMS'; write "),
    ("ssekms_key_id: x", "ssekms_key_id: it needs server_side_encryption: aws:kms or aws:kms:dsse"),
    ("bucket_key_enabled: true", "bucket_key_enabled: it needs server_side_encryption: aws:kms; add that key"),
    ("bucket_key_enabled: maybe", "bucket_key_enabled: 'maybe' is not true or false; write true or false"),
    ("storage_class: standard-ia", "storage_class: 'standard-ia' is not a storage class; write STANDARD_IA"),
    ("acl: public", "acl: unknown value 'public'; write public-read"),
    ("tags: [a]", "tags: a list instead of a mapping"),
    ("tags: {a: [b]}", "tags.a: a list instead of text"),
    ("tags: {aws:x: y}", "tags: tag 'aws:x': keys that start with aws: are reserved"),
    ("tags: {a: 'b!'}", "tags: tag 'a': only letters, digits, spaces and + - = . _ : / @ are allowed"),
    ("tags: {a: '%s'}" % ("b" * 257), "tags: tag 'a': a key has 1 to 128 characters and a value at most 256"),
    (
        "tags: {k1: v, k2: v, k3: v, k4: v, k5: v, k6: v, k7: v, k8: v, k9: v, k10: v, k11: v}",
        "S3 allows 10 tags on an object, here are 11; remove 1",
    ),
    ("metadata: {Mtime: x}", "metadata: 'Mtime' is reserved for Crosshaul; write another name"),
    ("metadata: {crosshaul-token: x}", "metadata: 'crosshaul-token' is reserved for Crosshaul"),
    (
        "metadata: {x-amz-meta-a: x}",
        "metadata: 'x-amz-meta-a': the prefix x-amz-meta- is added automatically; write 'a'",
    ),
    ("metadata: {a b: x}", "metadata: 'a b' is not a valid header name"),
    ("metadata: {a: ü}", "metadata: 'a': the value must be printable ASCII"),
    ("metadata: {a: x, A: y}", "metadata: two names differ only in case"),
    ("metadata: {a: %s}" % ("x" * 1920), "metadata: names and values have 1921 bytes, the limit is 1880"),
    ("tls_ca_bundle: ca.pem", "tls_ca_bundle: 'ca.pem' is not an absolute path"),
    ("tls_ca_bundle: {a: b}", "tls_ca_bundle: a mapping instead of a path"),
]


@pytest.mark.parametrize(("line", "sentence"), DESTINATION_FAULTS)
def test_destination_faults(tmp_path: Path, line: str, sentence: str) -> None:
    """Each invalid key of a destination gives one line with location, problem and what to write."""
    found = faults(tmp_path, text(destination=line))
    assert len(found) == 1
    assert found[0].startswith("5: destinations.partner.")
    assert sentence in found[0]


ROUTE_FAULTS = [
    ("destination: partnr", "destination: there is no destination partnr; write partner"),
    ("destination: x", "destination: there is no destination x; there are: partner"),
    ("key: '{pth}'", "key: {pth} is not a field; write {path}"),
    ("key: fixed", "key: every file would get the same key"),
    (
        "include: '*.csv'",
        "include: text instead of a list ([A, B], or lines that start with '- '); write [\"*.csv\"]",
    ),
    ("include: []", "include: empty; write at least one entry"),
    ("exclude: ['#x']", "exclude[0]: '#x' is a comment in gitignore syntax"),
    ("exclude: [a, '']", "exclude[1]: '' matches nothing"),
    (
        "settle: {quiet: soon}",
        "settle.quiet: 'soon' is not a duration; write a number with ms, s, m, h or d, for example 10m",
    ),
    ("settle: {quiet: 20m}", "settle.max_wait: 10m is less than quiet, which is 20m; write 20m or more"),
    ("settle: {marker: '{path}'}", "settle.marker: a file cannot be its own marker; write for example {path}.done"),
    ("settle: {marker: '../x'}", "settle.marker: '../x' is outside the watched directory"),
    ("settle: {marker: '{pth}'}", "settle.marker: {pth} is not a field of a marker"),
    ("settle: {marker: '{path'}", "settle.marker: its braces do not match"),
    ("settle: {marker: '{path}.ok', quiet: 1s}", "settle: marker replaces the other keys of settle"),
    ("settle:", "settle: empty; write a mapping"),
    ("rescan_interval: 0", "rescan_interval: too small; write more than 0"),
    ("symlinks: follow", "symlinks: unknown value 'follow'; write "),
    ("after_upload: remove", "after_upload.action: unknown value 'remove'; write "),
    ("after_upload: move", "after_upload: move needs a directory; write after_upload: {move_to: DIR}"),
    ("after_upload: {action: delete, move_to: /x}", "after_upload.move_to: it has no effect with action delete"),
    (
        "after_upload: {grace: 1h}",
        "after_upload.grace: it has no effect with action keep; write {action: delete, grace: 1h}",
    ),
    ("after_upload: {move_to: x}", "after_upload.move_to: 'x' is not an absolute path"),
    ("after_upload: {move_to: /srv/exports/}", "after_upload.move_to: is watched by routes[0]"),
    ("after_upload: [a]", "after_upload: a list instead of a mapping"),
]


@pytest.mark.parametrize(("line", "sentence"), ROUTE_FAULTS)
def test_route_faults(tmp_path: Path, line: str, sentence: str) -> None:
    """Each invalid key of a route gives one line with location, problem and what to write."""
    found = faults(tmp_path, text(route=line))
    assert len(found) == 1
    assert found[0].startswith(
        "9: routes[0]." if "after_upload.action" not in sentence else "9: routes[0].after_upload"
    )
    assert sentence.replace("after_upload.action", "after_upload") in found[0]


TOP_FAULTS = [
    ("identity:", "identity: empty; write a mapping"),
    ("identity: {sts_endpoint_url: 5}", "identity.sts_endpoint_url: '5' is not an http(s) URL"),
    ("transfer: {part_sise: 8MiB}", "transfer.part_sise: unknown key; write part_size"),
    ("transfer: {part_size: 1MiB}", "transfer.part_size: too small; write 5MiB or more"),
    ("transfer: {part_size: 6GiB}", "transfer.part_size: too large; write 5GiB or less"),
    ("transfer: {part_size: 8Mb}", "transfer.part_size: '8Mb' is not a size; write a number with B, KiB, MiB"),
    ("transfer: {memory_limit: 5MiB}", "transfer.memory_limit: 5MiB is less than part_size, which is 8MiB"),
    ("transfer: {max_concurrency: 0}", "transfer.max_concurrency: too small; write 1 or more"),
    ("transfer: {max_concurrency: 1.5}", "transfer.max_concurrency: '1.5' is not a whole number"),
    ("transfer: {bandwidth: 20MiB}", "transfer.bandwidth: '20MiB' is not a rate; write a size per second"),
    ("transfer: {bandwidth: 0}", "transfer.bandwidth: a rate of 0 would stop all uploads"),
    ("transfer: {bandwidth: [[25:00, off]]}", "transfer.bandwidth[0]: '25:00' is not a time of day; write HH:MM"),
    ("transfer: {bandwidth: [[8:00, fast]]}", "transfer.bandwidth[0]: 'fast' is not a rate"),
    ("transfer: {bandwidth: [[8:00]]}", "transfer.bandwidth[0]: a step needs a time and a rate"),
    ("transfer: {bandwidth: [[8:00, off], [08:00, 1kB/s]]}", "transfer.bandwidth: two steps have the same time"),
    ("retry: {initial: 10m}", "retry.max: 5m is less than initial, which is 10m; write 10m or more"),
    ("retry: {initial: 0}", "retry.initial: too small; write more than 0"),
    ("retry: {quarantine_after: 0}", "retry.quarantine_after: too small; write 1 or more"),
    ("http: {listen: 9464}", "http.listen: '9464' is not an address to listen on; write HOST:PORT or [IPv6]:PORT"),
    ("http: {listen: '::1:9464'}", "http.listen: '::1:9464' is not an address"),
    ("http: {listen: a:65536}", "http.listen: too large; write 65535 or less"),
    ("log: {level: warn}", "log.level: unknown value 'warn'; write warning"),
    ("log: {level: 5}", "log.level: unknown value '5'; write one of debug, info, warning, error"),
    ("shutdown_timeout: -1s", "shutdown_timeout: '-1s' is not a duration"),
    ("max_concurrency: 5", "max_concurrency: unknown key; move it to transfer"),
    ("log: ${NO_SUCH}", "log: the environment variable NO_SUCH is not set; set it, or write ${NO_SUCH:-default}"),
    ("log: {format: '${}'}", "log.format: ${ does not start a variable; write ${NAME}"),
    ("log: {format: '${A:-$x}'}", "log.format: ${ does not start a variable"),
    ("log: {format: !!python/name:os.system x}", "log.format: YAML tags (!...) are not supported"),
    ("state_dir: /x", "state_dir: duplicate key, also on line 1; remove one of the two"),
    ("? [a]\n: b", "a key must be plain text"),
    ('log: {format: "\\ud800"}', "log.format: contains a NUL or half of a surrogate pair; remove it"),
]


@pytest.mark.parametrize(("line", "sentence"), TOP_FAULTS)
def test_other_faults(tmp_path: Path, line: str, sentence: str) -> None:
    """Each invalid key elsewhere gives one line with location, problem and what to write."""
    found = faults(tmp_path, text(top=line))
    assert len(found) == 1
    assert found[0].startswith(f"10: {sentence}")


@pytest.mark.parametrize(
    ("bucket", "sentence"),
    [
        ("s3://b/in/put", "'s3://b/in/put' is more than a bucket name; write bucket: b and key_prefix: in/put"),
        ("Upper", "'Upper' is not a bucket name; write 3 to 63 characters"),
        ("ab", "'ab' is not a bucket name"),
        ("a..b", "'a..b' is not a bucket name"),
        ("-abc", "'-abc' is not a bucket name"),
        ("x" * 64, "is not a bucket name"),
        ("192.168.1.1", "'192.168.1.1' looks like an IP address"),
    ],
)
def test_bucket_names(tmp_path: Path, bucket: str, sentence: str) -> None:
    """A bucket name that S3 does not allow is refused."""
    (found,) = faults(tmp_path, text(bucket=bucket))
    assert found.startswith("4: destinations.partner.bucket: ")
    assert sentence in found


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "1: the file is empty; write at least state_dir, destinations and routes"),
        ("# nothing\n", "1: the file is empty"),
        ("- a\n", "1: not a mapping; write KEY: VALUE lines"),
        ("a: b\nc: [d\n", "3: invalid YAML at column 1: expected ',' or ']', but got '<stream end>'"),
        ("a: b\n\tc: d\n", "2: invalid YAML at column 1: found character"),
        (f"a: *{SECRET}\n", "1: invalid YAML at column 4: found undefined alias ...; quote text that starts with *"),
        ("a: b\n---\nc: d\n", "2: invalid YAML at column 1: but found another document"),
        (b"a: b\nc: \xe9\n", "2: byte 0xE9 is not UTF-8; save the file as UTF-8"),
        ("a: b\nc: \x07\n", "2: character U+0007 is not allowed in YAML; remove it"),
        ("[" * 5000, "1: nested too deeply"),
        ("a: &a [*a]", "1: nested too deeply"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"b{n}: &a{n} [{'*a%s,' % (n - 1 if n else '') * 9}]\n" for n in range(9)),
            "1: nested too",
        ),
        ("a: {<<: b}", "1: invalid YAML at column 9: expected a mapping"),
        (b"x" * 1024 * 1024 + b"x", " larger than 1 MiB; give a configuration file"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: str | bytes, line: str) -> None:
    """A file that is not a YAML mapping is refused in one line with the location, without quoting a possible secret."""
    (found,) = faults(tmp_path, content)
    assert found.startswith(line)
    assert SECRET not in found


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    """A directory, a missing file and an unreadable one each give one line."""
    closed = tmp_path / "memory"
    closed.symlink_to("/proc/self/mem")
    for path, sentence in [
        (tmp_path, "is a directory; give the path of the YAML file"),
        (tmp_path / "none.yaml", "no such file; check the path, or write the file as in docs/CONFIGURATION.md"),
        (closed, "cannot be read (Input/output error); check its owner and mode"),
        (Path("a\0b"), "cannot be read (embedded null byte)"),
    ]:
        with pytest.raises(ConfigError) as refused:
            load(path)
        assert refused.value.faults[0].startswith(f"{path}: {sentence}")


def test_all_faults_at_once(tmp_path: Path) -> None:
    """All errors of a file are reported at once, in the file's order, including those between sections."""
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
        ("path: /srv/a", "path: /srv/a", "the same directory as routes[0].path"),
        ("path: /srv/a", "path: /srv/a/b", "nested with routes[0].path"),
        ("path: /srv/a/b", "path: /srv/a/", "nested with routes[0].path"),
        ("path: /srv/a", "path: /srv/a, key: '{path}', exclude: []", "the same directory as routes[0].path"),
        ("path: /srv/a", "path: /srv/ab", None),
        ("path: /srv/a", "path: /srv/a/b, destination: other", None),
        ("path: /srv/a", "path: /srv/a/b, key: 'b/{path}'", None),
        ("path: /srv/a, key: '{route}/{path}'", "path: /srv/a/b, key: '{route}/{path}'", None),
        ("path: /srv/a, exclude: [/b/]", "path: /srv/a/b", None),
        ("path: /srv/a", "path: /srv/a, destination: alias", "the same directory as routes[0].path"),
        ("path: /srv/a", "path: /srv/a, destination: below", None),
    ],
)
def test_overlapping_routes(tmp_path: Path, first: str, second: str, refused: str | None) -> None:
    """Routes may share a tree unless they upload the same files to the same keys."""
    to = {line: "" if "destination" in line else ", destination: main" for line in (first, second)}
    content = (
        "state_dir: /s\ndestinations: {main: {bucket: main}, other: {bucket: other}, "
        "alias: {bucket: main, endpoint_url: 'https://s3.eu-west-1.amazonaws.com'}, "
        "below: {bucket: main, key_prefix: b}}\nroutes:\n"
        f"  - {{name: one, {first}{to[first]}}}\n  - {{name: two, {second}{to[second]}}}\n"
    )
    if refused is None:
        assert len(loaded(tmp_path, content).routes) == 2
    else:
        (found,) = faults(tmp_path, content)
        assert found.startswith(f"5: routes[1].path: {refused}")


def test_state_dir_in_a_watched_directory(tmp_path: Path) -> None:
    """state_dir inside a watched directory is refused."""
    (found,) = faults(tmp_path, text().replace("/var/lib/crosshaul", "/srv/exports/.state"))
    assert found.startswith("1: state_dir: is inside routes[0].path")


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
    """Errors in secret keys do not quote their values."""
    assert SECRET not in "\n".join(faults(tmp_path, text(destination=f"{ROLE}\n    {line}")))
