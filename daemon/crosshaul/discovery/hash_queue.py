"""The queue of settled files that are hashed for their keys, and the order in which threads take them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crosshaul.model import SettleReason, Sighting

if TYPE_CHECKING:
    from hashlib import _Hash

_MAX_FILES = 10_000
_MAX_PATH_BYTES = 8 << 20
"""Limit of the total length of the queued paths."""
_LARGE_BYTES = 4 << 20
"""Files of this size or larger are read in slices; smaller ones are read in batches."""
_BATCH_FILES = 100
_BATCH_BYTES = 16 << 20
_LOG_AFTER_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class HashJob:
    """A queued file, and the state of its hashing."""

    sighting: Sighting
    reason: SettleReason
    taken: bool = False
    """A thread reads it now."""
    done: int = 0
    """Bytes that are hashed."""
    digest: _Hash = field(default_factory=hashlib.sha256)
    began: float = field(default_factory=time.monotonic)
    log_after: float = _LOG_AFTER_SECONDS
    """Age at which its progress is logged next."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.sighting.fingerprint.size


class HashQueue:
    """The files of one route that wait for hashing, in their order of arrival; bounded."""

    def __init__(self) -> None:
        self._jobs: dict[bytes, HashJob] = {}
        self._path_bytes = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: HashJob) -> bool:
        """Return whether ``job`` is still queued: a job of a newer state of its file replaces it."""
        return self._jobs.get(job.sighting.path) is job

    @property
    def has_room(self) -> bool:
        """True if at least half of the queue is free."""
        return len(self._jobs) <= _MAX_FILES // 2 and self._path_bytes <= _MAX_PATH_BYTES // 2

    def add(self, sighting: Sighting, reason: SettleReason) -> bool:
        """Queue a file for hashing; return False if the queue is full."""
        before = self._jobs.get(sighting.path)
        if before is None:
            if len(self._jobs) >= _MAX_FILES or self._path_bytes >= _MAX_PATH_BYTES:
                return False
            self._path_bytes += len(sighting.path)
        if before is None or before.sighting.fingerprint != sighting.fingerprint:
            self._jobs[sighting.path] = HashJob(sighting, reason)
            self.notify()
        return True

    def take(self, *, oldest: bool) -> list[HashJob]:
        """Mark the next files for a thread as taken, and return them: a batch of small files, or one large file.

        ``oldest``: prefer the oldest large file; otherwise small files, then the large one with the least left.
        """
        jobs = self._next(oldest=oldest)
        for job in jobs:
            job.taken = True
        return jobs

    def drop(self, job: HashJob) -> None:
        """Remove a job, if it is still queued."""
        if job in self:
            del self._jobs[job.sighting.path]
            self._path_bytes -= len(job.sighting.path)

    def restart(self, job: HashJob) -> None:
        """Replace a job by a new one for the same state of its file, if it is still queued."""
        if job in self:
            self._jobs[job.sighting.path] = HashJob(job.sighting, job.reason)

    def notify(self) -> None:
        """Wake a waiter: there may be a job to take."""
        self._changed.set()

    async def wait_changed(self) -> None:
        """Wait until there may be a job to take."""
        await self._changed.wait()
        self._changed.clear()

    def _next(self, *, oldest: bool) -> list[HashJob]:
        small: list[HashJob] = []
        large: list[HashJob] = []
        total = 0
        for job in self._jobs.values():
            if job.taken:
                continue
            if job.size >= _LARGE_BYTES:
                large.append(job)
            elif len(small) < _BATCH_FILES and total + job.size <= _BATCH_BYTES:
                small.append(job)
                total += job.size
            elif not oldest:
                break
        if oldest:
            return large[:1] or small
        return small or sorted(large, key=lambda job: job.size - job.done)[:1]
