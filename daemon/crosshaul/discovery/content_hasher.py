"""Hash settled files whose keys contain their content's digest ({sha256}). A large file does not delay the others.

Two threads: one takes small files first, then the large one with the least left; the other takes the oldest large one.
A large file is read in slices, and other files are read between two slices. Each slice opens the file again, so a file
that waits for its next slice holds no descriptor.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.discovery.key_namer import KeyNamer
from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileUnreadableError, SourceError
from crosshaul.files.root import Root
from crosshaul.model import Settled, SettleReason, Sighting
from crosshaul.telemetry.logger import Logger

if TYPE_CHECKING:
    from hashlib import _Hash

LIMIT = 10_000
LIMIT_BYTES = 8 << 20
"""Limits of the queue: files, and bytes of their paths."""
_LARGE_BYTES = 4 << 20
"""Files of this size or larger are read in slices; smaller ones are read in batches."""
_BATCH_FILES = 100
_BATCH_BYTES = 16 << 20
_SLICE_SECONDS = 0.25
_CHUNK_BYTES = 1 << 20
_LOG_AFTER_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class _Job:
    sighting: Sighting
    reason: SettleReason
    held: bool = False
    """A thread reads it now."""
    done: int = 0
    digest: _Hash = field(default_factory=hashlib.sha256)
    began: float = field(default_factory=time.monotonic)
    log_after: float = _LOG_AFTER_SECONDS

    @property
    def size(self) -> int:
        return self.sighting.fingerprint.size


_Results = list[tuple[_Job, str | SourceError | None]]


class ContentHasher:
    """Hashes the settled files of one route, then queues them."""

    def __init__(
        self,
        route: Route,
        namer: KeyNamer,
        admit: Callable[[Sequence[Settled]], Awaitable[None]],
        hint: Callable[[bytes], None],
        log: Logger,
    ) -> None:
        self._route = route
        self._namer = namer
        self._admit = admit
        self._hint = hint
        self._log = log
        self._threads = ThreadPool(2, f"hash-{route.name}")
        self._jobs: dict[bytes, _Job] = {}
        self._bytes = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def has_room(self) -> bool:
        """True if at least half of the queue is free."""
        return len(self._jobs) <= LIMIT // 2 and self._bytes <= LIMIT_BYTES // 2

    def add(self, sighting: Sighting, reason: SettleReason) -> bool:
        """Queue a file for hashing; return False if the queue is full."""
        before = self._jobs.get(sighting.path)
        if before is None:
            if len(self._jobs) >= LIMIT or self._bytes >= LIMIT_BYTES:
                return False
            self._bytes += len(sighting.path)
        if before is None or before.sighting.fingerprint != sighting.fingerprint:
            self._jobs[sighting.path] = _Job(sighting, reason)
            self._changed.set()
        return True

    async def run(self) -> None:
        """Hash queued files until cancelled. Raises StateDirError."""
        async with asyncio.TaskGroup() as group:
            for oldest in (False, True):
                group.create_task(self._serve(oldest=oldest))

    async def drain(self) -> None:
        """Hash files until the queue is empty; may run beside ``run``. Raises StateDirError."""
        while self._jobs:
            await self._turn(oldest=False)

    def close(self) -> None:
        """Let the threads end after their present calls."""
        self._threads.close()

    async def _serve(self, *, oldest: bool) -> None:
        while True:
            await self._turn(oldest=oldest)

    async def _turn(self, *, oldest: bool) -> None:
        jobs = self._pick(oldest=oldest)
        if jobs:
            await self._advance(jobs)
        else:
            await self._changed.wait()
            self._changed.clear()

    def _pick(self, *, oldest: bool) -> list[_Job]:
        """Return the next files for a thread: a batch of small ones, or one large one."""
        small: list[_Job] = []
        large: list[_Job] = []
        total = 0
        for job in self._jobs.values():
            if job.held:
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

    async def _advance(self, jobs: list[_Job]) -> None:
        for job in jobs:
            job.held = True
        try:
            results = await self._watched(jobs, self._threads.begin(self._read_all, jobs))
            await self._finish([(job, result) for job, result in results if self._jobs.get(job.sighting.path) is job])
        except BaseException:
            # The thread may still be reading: new jobs make its results void.
            for job in jobs:
                if self._jobs.get(job.sighting.path) is job:
                    self._jobs[job.sighting.path] = _Job(job.sighting, job.reason)
            raise
        finally:
            self._changed.set()

    async def _watched(self, jobs: list[_Job], reading: asyncio.Future[_Results]) -> _Results:
        """Wait for the results; log when the file system hangs and when it recovers, which nothing else shows."""
        began = time.monotonic()
        try:
            await asyncio.wait({reading}, timeout=_LOG_AFTER_SECONDS)
            if not reading.done():
                seconds = round(time.monotonic() - began, 1)
                self._log.warning("read_hangs", path=printable(_first_unread(jobs)), seconds=seconds)
                await asyncio.wait({reading})
                self._log.info("read_recovered", seconds=round(time.monotonic() - began, 1))
            return await reading
        finally:
            reading.cancel()

    async def _finish(self, results: _Results) -> None:
        settled = []
        for job, result in results:
            if result is None:
                job.held = False
                self._log_progress(job)
            elif isinstance(result, str):
                settled.append(self._namer.name(job.sighting, job.reason, result))
            elif isinstance(result, FileUnreadableError):
                settled.append(self._namer.refuse(job.sighting, "FileUnreadable", str(result)))
        if settled:
            await self._admit(settled)
        for job, result in results:
            if result is not None:
                self._drop(job)
                if isinstance(result, SourceError) and not isinstance(result, FileUnreadableError):
                    self._hint(job.sighting.path)

    def _drop(self, job: _Job) -> None:
        if self._jobs.get(job.sighting.path) is job:
            del self._jobs[job.sighting.path]
            self._bytes -= len(job.sighting.path)

    def _log_progress(self, job: _Job) -> None:
        """Log that a large file is still being read: after a minute, then at each doubling."""
        if time.monotonic() - job.began >= job.log_after:
            job.log_after *= 2
            self._log.info("hashing", path=printable(job.sighting.path), bytes=job.size, bytes_read=job.done)

    def _read_all(self, jobs: list[_Job]) -> _Results:
        """Return the digest or the error of each file (blocking); None for a file that needs another slice."""
        return [(job, self._read(job)) for job in jobs]

    def _read(self, job: _Job) -> str | SourceError | None:
        until = time.monotonic() + _SLICE_SECONDS
        inside = self._route.symlinks == "follow_inside"
        path = job.sighting.path
        try:
            with Root.open(self._route.path) as root, root.open_file(path, follow_inside=inside) as file:
                if file.fingerprint != job.sighting.fingerprint:
                    raise FileChangedError(f"{printable(path)}: changed since it was seen")
                while job.done < job.size:
                    length = min(_CHUNK_BYTES, job.size - job.done)
                    job.digest.update(file.read(job.done, length))
                    job.done += length
                    if job.done < job.size and time.monotonic() >= until:
                        return None
                file.unchanged()
                return job.digest.hexdigest()
        except SourceError as error:
            return error


def _first_unread(jobs: list[_Job]) -> bytes:
    """Return the path that the thread reads now: it reads the files in this order."""
    unread = [job for job in jobs if job.done < job.size]
    return (unread or jobs)[0].sighting.path
