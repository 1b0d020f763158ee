"""Mistakes of an operator: one line with the name and the remedy, the right exit code, and nothing lost."""

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from support.clumsy_operator import lacks, output, refused, unprivileged
from support.partner_fixtures import make_certificates, partner_process
from support.system_fixtures import complaints, until

DEAD = "http://127.0.0.1:1"
"""Nothing listens there."""


@pytest.fixture
def unused_account():
    """Return an account for failures that happen before any call."""
    return SimpleNamespace(
        endpoint_url=DEAD,
        sts_endpoint_url=DEAD,
        access_key_id="AKIAUNUSEDUNUSEDUNU1",
        secret_access_key="unused-secret-access-key-of-40-characters",
        role_arn="arn:aws:iam::222222222222:role/unused",
        external_id="unused-external-id",
        bucket="unused-bucket",
    )


CONFIGS = {
    "broken": (b"state_dir: /x\nroutes: [{name: a\n", ["config.yaml:3", "invalid YAML"]),
    "tab": (b"state_dir: /x\n\troutes: []\n", ["config.yaml:2", "spaces"]),
    "empty": (b"", ["config.yaml:1", "empty", "state_dir"]),
    "a list": (b"- a\n", ["config.yaml:1", "not a mapping"]),
    "binary": (b"\x7fELF\x02\x01\x01\x00\xff\xfe", ["config.yaml:1", "UTF-8"]),
    "zero byte": (b"state_dir: /x\x00\n", ["config.yaml:1", "U+0000"]),
    "escape sequence": (b"state_dir: /x\nroutes\x1b[31m: []\n", ["config.yaml:2", "U+001B"]),
    "latin-1": ("state_dir: /caf\u00e9\n".encode("latin-1"), ["config.yaml:1", "0xE9", "UTF-8"]),
    "two documents": (b"state_dir: /x\n---\nstate_dir: /y\n", ["config.yaml:2", "another document"]),
    "nested without end": (b"a: " + b"[" * 5000 + b"]" * 5000, ["config.yaml:1", "nested too deeply"]),
}


@pytest.mark.parametrize(("content", "words"), CONFIGS.values(), ids=CONFIGS)
def test_a_file_that_is_no_configuration_is_one_line(unused_account, site_for, content, words):
    """A file that is not YAML gives code 2 and a line with file, line number and error."""
    site = site_for(unused_account)
    site.config_file.write_bytes(content)
    code, line = refused(site, "validate")
    assert (code, lacks(words, line)) == (2, []), line


def test_all_faults_of_a_configuration_are_reported_at_once(unused_account, site_for):
    """Unknown keys, wrong types, unset variables and odd values each give a line with the key and what to write."""
    site = site_for(unused_account)
    site.config |= {"stat_dir": "/x", "retry": {"initial": "soon"}, "http": {"listen": "127.0.0.1:99999"}}
    site.destination.update(duration_seconds="long", acl="everyone", role_arn="${NO_SUCH_VARIABLE}")
    site.write(settle=3, destination="parnter", path="not/absolute")
    done = output(site, "run")
    names = ["stat_dir", "retry.initial", "http.listen"]
    inner = ["duration_seconds", "acl", "role_arn", "settle", "destination", "path"]
    keys = [*names, *inner]
    lines = complaints(done.stderr)
    assert (done.returncode, len(lines)) == (2, len(keys)), done.stderr
    assert [key for key in keys if not any(f"{key}: " in line for line in lines)] == []


def test_a_configuration_that_cannot_be_read_is_one_line(unused_account, site_for):
    """A missing, unreadable or circular file or a directory gives code 2 and a line that names it."""
    site = site_for(unused_account)
    site.config_file.chmod(0)
    closed = unprivileged(lambda: refused(site, "push"))
    site.config_file.unlink()
    missing = refused(site, "run")
    site.config_file.symlink_to(site.config_file)
    link = refused(site, "status")
    site.config_file.unlink()
    site.config_file.mkdir()
    directory = refused(site, "list")
    for (code, line), words in (
        (closed, "Permission denied"),
        (missing, "no such file"),
        (link, "symbolic links"),
        (directory, "directory"),
    ):
        assert (code, lacks([str(site.config_file), words], line)) == (2, []), line


IDENTITIES = {
    "no credentials": (
        lambda site, _: site.environment.update(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", HOME="/nonexistent"),
        ["no credentials", "identity.profile"],
    ),
    "no such profile": (lambda site, _: site.config["identity"].update(profile="nope"), ["nope", "identity.profile"]),
    "wrong secret key": (
        lambda site, _: site.environment.update(AWS_SECRET_ACCESS_KEY="w" * 40),
        ["SignatureDoesNotMatch", "secret access key"],
    ),
    "no external ID": (
        lambda site, _: site.destination.pop("external_id_file"),
        ["AccessDenied", "trust policy", "external ID"],
    ),
    "external ID file missing": (
        lambda site, _: site.external_id_file.rename(site.home / "gone"),
        ["external_id_file"],
    ),
    "no such role": (
        lambda site, account: site.destination.update(role_arn=account.role_arn + "-not"),
        ["AccessDenied", "-not", "trust policy"],
    ),
    "too long a session": (
        lambda site, _: site.destination.update(duration_seconds=43200),
        ["Lower `duration_seconds`"],
    ),
    "STS not there": (
        lambda site, _: site.config["identity"].update(sts_endpoint_url=DEAD),
        ["AssumeRole", "127.0.0.1:1"],
    ),
    "STS without TLS": (
        lambda site, account: site.config["identity"].update(sts_endpoint_url=secure(account.sts_endpoint_url)),
        ["AssumeRole", "TLSError"],
    ),
    "S3 not there": (lambda site, _: site.destination.update(endpoint_url=DEAD), ["GetObject", "127.0.0.1:1"]),
    "S3 without TLS": (
        lambda site, account: site.destination.update(endpoint_url=secure(account.endpoint_url)),
        ["GetObject", "TLSError"],
    ),
    "no such bucket": (lambda site, _: site.destination.update(bucket="no-such-bucket"), ["NoSuchBucket", "`bucket`"]),
}


def secure(url):
    return url.replace("http://", "https://")


def test_what_is_unusable_at_the_start_ends_a_daemon_that_has_to_be_ready(strict, site_for):
    """With --require-ready each unusable identity or destination gives code 3 and a line that says what to do."""
    sites = {name: site_for(strict) for name in IDENTITIES}

    def start(name):
        spoil, words = IDENTITIES[name]
        site = sites[name]
        spoil(site, strict)
        site.write()
        if not site.external_id_file.exists():
            done = site.crosshaul("run", "--require-ready")
            return done.returncode, lacks(words, done.stderr)
        code, line = refused(site, "run", "--require-ready")
        return code, lacks(["destination partner", *words], line)

    with ThreadPoolExecutor(3) as pool:
        found = dict(zip(sites, pool.map(start, sites), strict=True))
    assert found == dict.fromkeys(IDENTITIES, (3, []))


DESTINATIONS = {
    "wrong external ID": (
        lambda site: site.external_id_file.write_text("not-the-external-id"),
        ["AssumeRole", "AccessDenied", "external ID"],
    ),
    "bucket elsewhere": (lambda site: site.destination.update(bucket="partner-eu"), ["`region` to eu-west-1"]),
    "wrong owner": (lambda site: site.destination.update(expected_bucket_owner="999999999999"), ["AccessDenied"]),
    "wrong key": (
        lambda site: site.destination.update(
            server_side_encryption="aws:kms", ssekms_key_id="arn:aws:kms:us-east-1:222222222222:key/none"
        ),
        ["KMS.NotFoundException", "`ssekms_key_id`"],
    ),
    "odd storage class": (lambda site: site.destination.update(storage_class="FROZEN"), ["Check `storage_class`"]),
    "S3 not there": (lambda site: site.destination.update(endpoint_url=DEAD), ["127.0.0.1:1"]),
}


def test_a_push_that_is_refused_says_why_and_loses_nothing(strict, site_for):
    """A destination that refuses gives one line and code 1, soon; after the fix every file is sent once."""
    sites = {name: site_for(strict, settle={"quiet": "0s"}) for name in DESTINATIONS}

    def push(name):
        site = sites[name]
        good = dict(site.destination)
        for number in range(3):
            site.add(f"{name} {number}", b"content")
        spoil, words = DESTINATIONS[name]
        spoil(site)
        site.write()
        began = time.monotonic()
        code, line = refused(site, "push")
        soon = time.monotonic() - began < 30
        site.config["destinations"]["partner"] = good
        site.external_id_file.write_text(strict.external_id)
        site.write()
        return (
            code,
            lacks(["destination partner", "3 files pending", str(site.root), *words], line),
            soon,
            site.push()[:19],
        )

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(sites, pool.map(push, sites), strict=True))
    assert found == dict.fromkeys(DESTINATIONS, (1, [], True, "Delivered 3 files ("))
    objects = strict.objects()
    assert len(objects) == 3 * len(DESTINATIONS)
    assert {each["writes"] for each in objects.values()} == {1}


def test_an_acl_on_a_bucket_without_acls_is_reported_so(tmp_path, site_for):
    """If the bucket accepts no ACLs, the line says which key to remove."""
    with partner_process(spool=tmp_path / "spool", role_actions=["s3:PutObjectAcl"]) as account:
        site = site_for(account)
        site.add("a")
        site.destination["acl"] = "public-read"
        site.write()
        code, line = refused(site, "push")
    assert (code, lacks(["AccessControlListNotSupported", "`acl: null`", "1 file pending"], line)) == (1, []), line


def test_a_certificate_that_nobody_vouches_for_is_reported(tmp_path, site_for, certificates):
    """A certificate that tls_ca_bundle does not cover gives one line with that key; after the fix files are sent."""
    other = make_certificates(tmp_path / "other")
    with partner_process(spool=tmp_path / "spool", certificates=certificates) as account:
        site = site_for(account)
        site.add("a")
        site.environment["AWS_CA_BUNDLE"] = str(certificates.authority)  # STS has no other way
        site.destination["tls_ca_bundle"] = str(other.authority)
        site.write()
        code, line = refused(site, "run", "--require-ready")
        assert (code, lacks(["TLSError", "issuer certificate", "`tls_ca_bundle`"], line)) == (3, []), line
        site.destination["tls_ca_bundle"] = str(certificates.authority)
        site.write()
        assert site.push().startswith("Delivered 1 file ")


def test_a_missing_directory_fails_a_push_and_is_waited_for_by_the_daemon(strict, site_for):
    """A missing directory fails a push with one line and code 1; the daemon logs it and delivers when it exists."""
    site = site_for(strict)
    site.root.rmdir()
    code, line = refused(site, "push")
    assert (code, lacks([str(site.root), "no such directory"], line)) == (1, []), line
    site.root.write_bytes(b"a file")
    code, line = refused(site, "push")
    assert (code, lacks([str(site.root)], line)) == (1, []), line
    site.root.unlink()
    with site.daemon() as daemon:
        until(lambda: [each for each in daemon.events("watcher") if each["state"] == "root missing"])
        site.add("a", b"a")
        until(lambda: "a" in strict.objects())
        assert daemon.stop() == 0


def test_an_unreadable_file_is_reported_and_goes_when_it_is_fixed(strict, site_for):
    """An unreadable file fails the push but no other file; explain and retry accept its path; later it is sent."""
    site = site_for(strict)
    site.add("open", b"a")
    locked = site.add("locked", b"b")
    locked.chmod(0)
    code, line = unprivileged(lambda: refused(site, "push"))
    assert (code, lacks([str(locked), "Permission denied", "owner, mode"], line)) == (1, []), line
    for verb in ("explain", "retry"):
        done = unprivileged(lambda verb=verb: output(site, verb, str(locked)))
        assert (done.returncode, done.stderr) == (0, ""), done
    locked.chmod(0o600)
    assert site.push().startswith("Delivered 1 file ")
    assert set(strict.objects()) == {"open", "locked"}


def broken_journal(site, content):
    site.state_dir.mkdir(mode=0o700)
    (site.state_dir / "lock").touch()
    (site.state_dir / "journal.db").write_bytes(content)


def journal_of_the_future(site):
    site.state_dir.mkdir(mode=0o700)
    (site.state_dir / "lock").touch()
    with sqlite3.connect(site.state_dir / "journal.db") as journal:
        journal.execute("PRAGMA user_version = 9999")
    journal.close()


def a_file_in_the_way(site):
    site.state_dir.write_text("not a directory")


def somebody_elses(site):
    site.state_dir.mkdir()
    site.state_dir.chmod(0o755)
    (site.state_dir / "thesis.doc").write_text("mine")


STATE_DIRS = {
    "a file": (a_file_in_the_way, "", ["not a directory"]),
    "under a file": (a_file_in_the_way, "x/y", ["Not a directory"]),
    "in /proc": (lambda _: None, "/proc/crosshaul", ["/proc/crosshaul"]),
    "closed": (lambda site: site.state_dir.mkdir(mode=0o500), "", ["Permission denied", "writable"]),
    "under a closed one": (lambda site: site.state_dir.mkdir(mode=0o500), "x", ["Permission denied"]),
    "somebody else's": (somebody_elses, "", ["0755", "contains other files"]),
    "garbage": (lambda site: broken_journal(site, os.urandom(9000)), "", ["journal.db", "move it away"]),
    "from the future": (journal_of_the_future, "", ["version 9999", "newer Crosshaul"]),
}


def test_a_state_dir_that_cannot_be_used_is_one_line(unused_account, site_for):
    """The daemon exits with 2 and a line with the directory and the remedy; existing files there are kept."""
    sites = {name: site_for(unused_account) for name in STATE_DIRS}

    def start(name):
        prepare, path, words = STATE_DIRS[name]
        site = sites[name]
        prepare(site)
        site.config["state_dir"] = str(site.state_dir / path)
        site.write()
        before = held(site.state_dir)
        code, line = unprivileged(lambda: refused(site, "run"))
        return code, lacks([site.config["state_dir"], *words], line), held(site.state_dir) >= before

    with ThreadPoolExecutor(3) as pool:
        found = dict(zip(sites, pool.map(start, sites), strict=True))
    assert found == dict.fromkeys(STATE_DIRS, (2, [], True))


def held(path):
    """Return the content of a file, or the names in a directory."""
    if not path.exists():
        return set()
    return {path.read_bytes()} if path.is_file() else {each.name for each in path.iterdir()}


ADDRESSES = {
    "not ours": ("192.0.2.7:9464", ["192.0.2.7", "no address"]),
    "no such name": ("no-such-name.invalid:9464", ["no-such-name.invalid", "resolved"]),
}


@pytest.mark.parametrize(("listen", "words"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_cannot_be_listened_on_is_one_line(unused_account, site_for, listen, words):
    """An unusable http.listen gives a warning that says what to set, and files are delivered."""
    site = site_for(unused_account)
    site.config["http"] = {"listen": listen, "token": "beyond-loopback-token"}
    site.write()
    with site.daemon() as daemon:
        line = daemon.event("not_listening")["error"]
        assert lacks(["http.listen", *words], line) == [], line
        assert daemon.stop() == 0


MISUSES = {
    "route": (["push", "--route", "no\x1b[31mpe"], ["no route no", "there are: r"]),
    "state": (["list", "--state", "nonsense"], ["nonsense", "quarantined"]),
    "explain": (["explain", "/etc/pass\x1b[31mwd\n"], ["in no route", "The routes' directories are", "root (r)"]),
    "retry": (["retry", "/etc/passwd"], ["in no route", "The routes' directories are", "root (r)"]),
    "timeout": (["wait", "--timeout", "soon"], ["'soon' is not a duration", "10m"]),
    "option": (["push", "--nope"], ["No such option", "--nope"]),
}


@pytest.mark.parametrize(("arguments", "words"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_reported_with_what_there_is(unused_account, site_for, arguments, words):
    """An invalid argument gives code 2, and the last line lists the valid ones."""
    site = site_for(unused_account)
    done = output(site, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert lacks(words, done.stderr.splitlines()[-1]) == [], done.stderr
