"""The queue of files that are hashed for their keys."""

from __future__ import annotations

import pytest

from crosshaul.discovery import hash_queue
from crosshaul.discovery.hash_queue import HashQueue
from crosshaul.model import Fingerprint, SettleReason, Sighting

LARGE_BYTES = 8 << 20


def sighting(path: bytes, size: int = 1) -> Sighting:
    return Sighting("r", path, Fingerprint(size, 0, 0, 0))


def queue_of(*files: Sighting) -> HashQueue:
    queue = HashQueue()
    for file in files:
        assert queue.add(file, SettleReason.QUIET)
    return queue


def paths(queue: HashQueue, *, oldest: bool) -> list[bytes]:
    return [job.sighting.path for job in queue.take(oldest=oldest)]


def test_one_thread_takes_small_files_before_the_large_file_with_the_least_left():
    """A batch of all small files comes first, then the smaller of two large files."""
    queue = queue_of(
        sighting(b"huge", 2 * LARGE_BYTES), sighting(b"a"), sighting(b"large", LARGE_BYTES), sighting(b"b")
    )
    assert paths(queue, oldest=False) == [b"a", b"b"]
    assert paths(queue, oldest=False) == [b"large"]


def test_the_other_thread_takes_the_oldest_large_file():
    """Small files and smaller large ones that keep coming do not delay it."""
    queue = queue_of(sighting(b"a"), sighting(b"huge", 2 * LARGE_BYTES), sighting(b"large", LARGE_BYTES))
    assert paths(queue, oldest=True) == [b"huge"]
    assert paths(queue, oldest=True) == [b"large"]
    assert paths(queue, oldest=True) == [b"a"]
    assert paths(queue, oldest=True) == []


def test_a_new_state_of_a_file_replaces_its_job():
    """The job that a thread reads is no longer queued, and dropping it keeps the new one."""
    queue = queue_of(sighting(b"a"))
    (old,) = queue.take(oldest=False)
    queue.add(sighting(b"a", 2), SettleReason.QUIET)
    assert old not in queue
    queue.drop(old)
    (new,) = queue.take(oldest=False)
    assert new.size == 2


def test_a_restarted_job_begins_at_the_first_byte():
    """The file can be taken again, and nothing of it is hashed."""
    queue = queue_of(sighting(b"a", LARGE_BYTES))
    (job,) = queue.take(oldest=False)
    job.done = 100
    queue.restart(job)
    (again,) = queue.take(oldest=False)
    assert (again.done, again.sighting) == (0, job.sighting)


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """A full queue refuses other files, but takes new states of its own; it has room from half of its limit."""
    monkeypatch.setattr(hash_queue, "_MAX_FILES", 2)
    queue = queue_of(sighting(b"a"), sighting(b"b"))
    assert not queue.add(sighting(b"c"), SettleReason.QUIET)
    assert queue.add(sighting(b"a", 2), SettleReason.QUIET)
    assert not queue.has_room
    queue.drop(queue.take(oldest=False)[0])
    assert queue.has_room
