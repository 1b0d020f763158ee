"""Sessions that expire, are revoked, can't be obtained or lose their rights: files wait with no attempt counted."""

import contextlib
import hashlib
import itertools
import time

import pytest

from crosshaul.journal import Reader
from crosshaul.partner import document, statement
from support.partner_fixtures import partner_process
from support.system_fixtures import Site, sha256_of, until

FAILURES = ("upload_failed", "file_quarantined")
NOTHING = document(statement(["s3:GetObjectTagging"], "*"))
"""A role policy that allows nothing of what is needed."""


def sha256(account):
    return {key: each["sha256"] for key, each in account.objects(sha256=True).items()}


def delivered(account, site):
    return lambda: len(account.objects()) == len(sha256_of(site.root))


def nothing_failed(daemon, site):
    """Check that no attempt of any file was counted."""
    assert daemon.events(*FAILURES) == []
    reader = Reader.open(site.state_dir)
    assert {record.attempts for record in reader.records(None, None, None)} == {0}
    reader.close()


def keep_coming(site, seconds, name="file", every=0.05):
    """Add files for this many seconds."""
    began, number = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        site.add(f"{name} {number}", b"%d" % number)
        number += 1
        time.sleep(every)
    return number


def test_sessions_of_seconds_under_a_stream_of_files(strict, site_for):
    """With sessions of three seconds every file arrives, none fails, and STS is called once per session."""
    strict.settings(session_seconds=3)
    site = site_for(strict)
    with site.daemon() as daemon:
        began = time.monotonic()
        keep_coming(site, 7)
        until(delivered(strict, site))
        lasted = time.monotonic() - began
        assert daemon.stop() == 0
    assert sha256(strict) == sha256_of(site.root)
    assert daemon.events(*FAILURES, "destination_parked", "credentials_not_renewed") == []
    # A session lives 2 to 3 s by what it tells, whole seconds; a fifth of that is left when the next is fetched.
    assert lasted / 3 - 1 <= len(strict.calls("AssumeRole")) <= lasted / 1.4 + 2
    assert {call["code"] for call in strict.calls("PutObject")} <= {"", "ExpiredToken"}


def test_an_upload_continues_over_a_refresh(strict, site_for):
    """A multipart upload that outlives several sessions is completed without a second start."""
    strict.settings(session_seconds=2)
    site = site_for(strict)
    site.in_parts()
    site.config["transfer"]["memory_limit"] = "5MiB"
    site.write()
    strict.fault("delay", "UploadPart", rule={"times": None}, seconds=0.6)
    site.add("large", bytes(range(256)) * (5 * 20480))
    with site.daemon() as daemon:
        until(delivered(strict, site))
        assert daemon.stop() == 0
    assert sha256(strict) == sha256_of(site.root)
    assert len(strict.calls("CreateMultipartUpload")) == 1
    assert len({call["access_key_id"] for call in strict.calls("UploadPart")}) > 1
    nothing_failed(daemon, site)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_revoked_sessions_are_replaced(strict, site_for, code):
    """If S3 calls the session expired or invalid during many uploads, another one is fetched."""
    site = site_for(strict, settle={"quiet": "100ms"})
    strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.2)
    with site.daemon() as daemon:
        keep_coming(site, 0.6, "before", every=0.005)
        until(strict.objects)  # there is a session to revoke
        strict.revoke(code)
        for number in itertools.count():
            keep_coming(site, 0.3, f"after {number}", every=0.005)
            if code in {call["code"] for call in strict.calls("PutObject")}:
                break
        until(delivered(strict, site))
        assert daemon.stop() == 0
    assert sha256(strict) == sha256_of(site.root)
    assert code in {call["code"] for call in strict.calls("PutObject")}
    assert {each["writes"] for each in strict.objects().values()} == {1}
    assert len(strict.calls("AssumeRole")) == 2
    nothing_failed(daemon, site)


def test_sts_out_of_order_for_a_while(strict, site_for):
    """While STS is down the session is used until it expires; then files wait; when STS is back they are sent."""
    strict.settings(session_seconds=4)
    site = site_for(strict, settle={"quiet": "0s"})
    with site.daemon() as daemon:
        until(lambda: daemon.events("credentials_renewed"))
        strict.fault("reset", "AssumeRole", rule={"times": None})
        number = 0
        while not daemon.events("destination_parked"):
            number += keep_coming(site, 0.3, f"{number}")
        strict.clear_faults()
        until(delivered(strict, site))
        assert daemon.stop() == 0
    assert sha256(strict) == sha256_of(site.root)
    output = [
        each["event"] for each in daemon.events("credentials_not_renewed", "file_delivered", "destination_parked")
    ]
    refused, parked = output.index("credentials_not_renewed"), output.index("destination_parked")
    assert "file_delivered" in output[refused:parked]
    assert len(daemon.events("destination_parked")) == len(daemon.events("destination_resumed")) == 1
    nothing_failed(daemon, site)


def test_sts_out_of_order_at_the_start(strict, site_for):
    """A daemon that starts while STS is down waits for it."""
    strict.fault("error", "AssumeRole", rule={"times": 2}, status=503, code="ServiceUnavailable")
    site = site_for(strict)
    site.add("file")
    with site.daemon() as daemon:
        until(delivered(strict, site))
        assert daemon.stop() == 0
    nothing_failed(daemon, site)


@contextlib.contextmanager
def second_account(first, spool):
    """Make an account that gives Account A's user access by its bucket policy, without a role."""
    user, objects = "arn:aws:iam::111111111111:user/crosshaul", "arn:aws:s3:::second/*"
    actions = ["s3:PutObject", "s3:GetObject"]
    with partner_process(
        spool=spool,
        bucket="second",
        access_key_id=first.access_key_id,
        secret_access_key=first.secret_access_key,
        user_policy=document(statement(actions, objects)),
        bucket_policy=document(statement(actions, objects, Principal={"AWS": user})),
    ) as process:
        yield process


def states_of(site: Site) -> dict[str, str]:
    """Return the destinations' states from ``status``."""
    return {name: each["state"] for name, each in site.status()["destinations"].items()}


def test_a_role_that_may_nothing_parks_its_destination_only(strict, site_for, tmp_path):
    """If the role loses its rights, its destination parks with one line and no attempt counted; another delivers."""
    site = site_for(strict)
    root = site.home / "second"
    root.mkdir()
    with second_account(strict, tmp_path / "second") as second:
        direct = {"bucket": "second", "endpoint_url": second.endpoint_url, "expected_bucket_owner": "222222222222"}
        site.config["destinations"]["second"] = direct
        site.config["routes"].append({**site.route, "name": "s", "path": str(root), "destination": "second"})
        site.write()
        with site.daemon() as daemon:
            site.add("before")
            until(delivered(strict, site))
            strict.settings(role_policy=NOTHING)
            for number in range(30):
                site.add(f"refused {number}", b"%d" % number)
            until(lambda: daemon.events("destination_parked"))
            for number in range(30):
                (root / f"{number}").write_bytes(b"%d" % number)
            until(lambda: len(second.objects()) == 30)
            assert len(strict.objects()) == 1
            # The daemon saves its destinations' status once a second.
            until(lambda: states_of(site) == {"partner": "parked", "second": "ready"})
            assert "AccessDenied" in str(site.status()["destinations"]["partner"]["last_error"])
            strict.settings(role_policy=None)
            until(delivered(strict, site))
            assert daemon.stop() == 0
        assert sha256(second) == sha256_of(root)
    assert sha256(strict) == sha256_of(site.root)
    [parked] = daemon.events("destination_parked")
    assert parked["destination"] == "partner"
    assert "AccessDenied" in parked["error"]
    assert len(daemon.events("destination_resumed")) == 1
    nothing_failed(daemon, site)


def test_the_external_id_is_rotated(strict, site_for):
    """A change of the external ID on both sides, in either order, needs no restart, and no secret is logged."""
    strict.settings(session_seconds=2)
    site = site_for(strict)
    old, new = site.external_id_file.read_text(), hashlib.sha256(b"new").hexdigest()
    with site.daemon() as daemon:
        site.external_id_file.write_text(f"{new}\n{old}\n")
        until(lambda: [call["code"] for call in strict.calls("AssumeRole")][-2:] == ["AccessDenied", ""])
        strict.settings(external_id=new)  # between two refreshes, which come a second apart
        until(lambda: [call["code"] for call in strict.calls("AssumeRole")][-2:] == ["", ""])
        site.add("both known")
        until(delivered(strict, site))
        assert daemon.events("credentials_not_renewed", "destination_parked") == []
        strict.settings(external_id=old)
        site.external_id_file.write_text("neither-of-them")
        until(lambda: daemon.events("credentials_not_renewed"))
        site.external_id_file.write_text(old)
        site.add("fixed")
        until(delivered(strict, site))
        assert daemon.stop() == 0
    nothing_failed(daemon, site)
    assert not any(secret in daemon.log.read_text() for secret in (old, new, "neither-of-them"))
