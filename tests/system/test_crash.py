"""The daemon is killed, stopped or started twice at the worst moments: nothing is lost or sent twice."""

import hashlib
import os
import random
import signal
import time
from collections import Counter

import pytest

from crosshaul.journal import Reader
from support.system_fixtures import is_empty, sha256_of, until

MIB = 1 << 20
PARTS = 8
LARGE = random.Random(2).randbytes(PARTS * 5 * MIB - 3)


def sha256(account):
    return {key: each["sha256"] for key, each in account.objects(sha256=True).items()}


def parts_kept(site):
    """Return the numbers of the parts of the file `large` in the journal."""
    reader = Reader.open(site.state_dir)
    try:
        record = reader.find("r", b"large")
    finally:
        reader.close()
    multipart = record.multipart if record else None
    return sorted(part.number for part in multipart.parts) if multipart else []


def in_mid_upload(strict, site, sent=3):
    """Return a condition: `sent` parts are in the journal, and all others hang."""
    stuck = PARTS - sent
    return lambda: len(parts_kept(site)) == sent and strict.faults()[0]["hits"] == stuck


def resumes(strict, site, kept):
    """Let the daemon send each part that is not in ``kept`` once, and check the object."""
    strict.clear_faults()
    strict.forget_calls()
    with site.daemon() as daemon:
        until(lambda: "large" in strict.objects())
        until(lambda: daemon.events("file_delivered"))
        assert daemon.stop() == 0
    sent = Counter(call["part"] for call in strict.calls("UploadPart"))
    assert sent == Counter(set(range(1, PARTS + 1)) - set(kept))
    assert strict.calls("CreateMultipartUpload") == []
    assert sha256(strict) == sha256_of(site.root)
    assert strict.objects()["large"]["writes"] == 1
    assert strict.uploads() == []


@pytest.fixture
def large(strict, site_for):
    """Make a file in eight parts, of which five hang."""
    site = site_for(strict)
    site.in_parts()
    site.add("large", LARGE)
    strict.fault("stall", "UploadPart", rule={"after": 3, "times": None}, seconds=60, where="unread")
    return site


def test_kill_in_mid_multipart_sends_only_what_is_missing(strict, large):
    """After kill -9 with three of eight parts sent, the restart sends the other five, each once."""
    with large.daemon() as daemon:
        until(in_mid_upload(strict, large))
        daemon.kill()
    kept = parts_kept(large)
    assert len(kept) == 3
    resumes(strict, large, kept)


def test_a_file_that_changed_while_nobody_ran_starts_over(strict, large):
    """Parts of a file that changed since are not mixed with its new bytes."""
    with large.daemon() as daemon:
        until(in_mid_upload(strict, large))
        daemon.kill()
    strict.clear_faults()
    large.add("large", LARGE[::-1])
    with large.daemon() as daemon:
        until(lambda: daemon.events("file_delivered"))
        assert daemon.stop() == 0
    assert sha256(strict) == sha256_of(large.root)
    assert strict.objects()["large"]["writes"] == 1


@pytest.mark.parametrize(("operation", "size"), [("PutObject", 3), ("CompleteMultipartUpload", 6 * MIB)])
def test_kill_between_commit_and_answer_writes_once(strict, site_for, operation, size):
    """After kill -9 between S3's commit and its response, the restart proves the object by HEAD and writes nothing."""
    site = site_for(strict)
    site.in_parts()
    site.add("file", bytes(size))
    strict.fault("stall", operation, seconds=60, where="head")
    with site.daemon() as daemon:
        until(lambda: "file" in strict.objects())
        daemon.kill()
    strict.forget_calls()
    with site.daemon() as daemon:
        until(lambda: daemon.events("file_delivered"))
        assert daemon.stop() == 0
    [delivered] = daemon.events("file_delivered")
    assert delivered["proven_by"] == "head"
    assert [call["operation"] for call in strict.calls() if call["operation"] != "AssumeRole"] == ["HeadObject"]
    assert strict.objects()["file"]["writes"] == 1


@pytest.mark.parametrize(
    ("operation", "size", "fault"),
    [
        ("PutObject", 3, {"kind": "reset", "when": "after_commit"}),
        ("PutObject", 3, {"kind": "truncated_response"}),
        ("CompleteMultipartUpload", 6 * MIB, {"kind": "reset", "when": "after_commit"}),
    ],
)
def test_a_lost_answer_is_no_second_write(strict, site_for, operation, size, fault):
    """After a lost response HEAD with the token finds the object, which is not sent again."""
    site = site_for(strict)
    site.in_parts()
    site.add("file", bytes(size))
    strict.fault(operation=operation, **fault)
    assert site.push().startswith("Delivered 1 file ")
    assert strict.objects()["file"]["writes"] == 1
    assert site.records()["file"]["receipt"]["proven_by"] == "head"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(strict, site_for, number):
    """SIGTERM or SIGINT during an upload: it finishes, nothing new is begun, and the code is 0."""
    site = site_for(strict)
    site.add("under way", b"1")
    strict.fault("delay", "PutObject", seconds=1.5)
    with site.daemon() as daemon:
        until(lambda: strict.faults()[0]["hits"])
        daemon.process.send_signal(number)
        site.add("too late", b"2")
        assert daemon.wait() == 0
    assert set(strict.objects()) == {"under way"}
    assert daemon.events("stopped")[0]["drained"] is True
    assert len(daemon.events("file_delivered")) == 1


def test_a_stalled_upload_is_cut_off_at_the_deadline(strict, large):
    """With a stuck upload SIGTERM gives code 1 after shutdown_timeout; the next start continues."""
    large.config["shutdown_timeout"] = "1s"
    large.write()
    with large.daemon() as daemon:
        until(in_mid_upload(strict, large))
        began = time.monotonic()
        assert daemon.stop() == 1
        assert 1.0 <= time.monotonic() - began < 25  # a drain usually may take 30 s
    assert daemon.events("stopped")[0]["drained"] is False
    resumes(strict, large, parts_kept(large))


def test_a_second_signal_ends_it_at_once(strict, large):
    """A second SIGTERM ends the drain at once, and the journal is intact."""
    with large.daemon() as daemon:
        until(in_mid_upload(strict, large))
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert daemon.process.poll() is None
        began = time.monotonic()
        assert daemon.stop() == 1
        assert time.monotonic() - began < 25  # of the 30 s that a drain may take
    assert len(parts_kept(large)) == 3


def test_a_second_instance_is_refused(strict, site_for):
    """A second daemon or push on the same state_dir exits with 4 and one line with the first one's pid."""
    site = site_for(strict)
    with site.daemon() as daemon:
        for verb in ("run", "push"):
            done = site.crosshaul(verb)
            assert done.returncode == 4
            [line] = done.stderr.splitlines()
            assert f"pid {daemon.process.pid}" in line
            assert str(site.state_dir) in line
        site.add("file", b"the first one continues")
        until(lambda: set(strict.objects()) == {"file"})
        assert daemon.stop() == 0


def test_what_came_while_it_was_down_arrives(strict, site_for):
    """The restart delivers what exists after files were added, changed and deleted while it was down."""
    site = site_for(strict)
    old, gone = site.add("old", b"1"), site.add("gone", b"2")
    with site.daemon() as daemon:
        until(lambda: len(daemon.events("file_delivered")) == 2)
        daemon.kill()
    old.write_bytes(b"one")
    gone.unlink()
    site.add("new/file", b"3")
    with site.daemon() as daemon:
        until(lambda: sha256(strict) == {**sha256_of(site.root), "gone": hashlib.sha256(b"2").hexdigest()})
        assert daemon.stop() == 0
    assert {key: each["writes"] for key, each in strict.objects().items()} == {"old": 2, "gone": 1, "new/file": 1}


def test_kills_at_any_moment_lose_nothing(strict, site_for):
    """With three random kills, files that are deleted after delivery each arrive, and are deleted only then."""
    site = site_for(strict, settle={"quiet": "0s"}, after_upload="delete")
    strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.02)
    expected, chance = {}, random.Random(os.getpid())
    for round_ in range(4):
        for number in range(100):
            content = f"{round_} {number}".encode()
            site.add(f"{number}/{round_}", content)
            expected[f"{number}/{round_}"] = hashlib.sha256(content).hexdigest()
        with site.daemon() as daemon:
            if round_ == 3:
                until(lambda: is_empty(site.root))
                assert daemon.stop() == 0
            else:
                time.sleep(chance.uniform(0.0, 0.6))
                daemon.kill()
        held = sha256(strict)
        assert {
            name: each for name, each in expected.items() if not (site.root / name).exists()
        }.items() <= held.items()
    assert sha256(strict) == expected
    assert {each["writes"] for each in strict.objects().values()} == {1}


def test_parts_of_a_file_that_went_are_not_left_in_the_bucket(strict, site_for):
    """If a push failed with an open multipart upload and the file is deleted, the daemon aborts the upload."""
    site = site_for(strict)
    site.in_parts()
    strict.settings(role_actions=["s3:AbortMultipartUpload"])
    strict.fault("error", "CompleteMultipartUpload", rule={"times": None}, status=503, code="SlowDown")
    large = site.add("large", bytes(6 * MIB))
    assert site.crosshaul("push").returncode == 1
    assert len(strict.uploads()) == 1
    large.unlink()
    site.push()
    with site.daemon():
        until(lambda: not strict.uploads())
