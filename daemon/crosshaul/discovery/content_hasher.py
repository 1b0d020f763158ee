"""Hash settled files whose keys contain their content's digest ({sha256}). A large file does not delay the others.

Two threads: one takes small files first, then the large one with the least left; the other takes the oldest large one.
A large file is read in slices, and other files are read between two slices. Each slice opens the file again, so a file
that waits for its next slice holds no descriptor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.discovery.hash_queue import HashJob, HashQueue
from crosshaul.discovery.key_namer import KeyNamer
from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileUnreadableError, SourceError
from crosshaul.files.root import Root
from crosshaul.model import Settled
from crosshaul.telemetry.logger import Logger

_SLICE_SECONDS = 0.25
_CHUNK_BYTES = 1 << 20
_HANG_SECONDS = 60.0
"""A read that takes longer is logged: its file system hangs."""

_Results = list[tuple[HashJob, str | SourceError | None]]


class ContentHasher:
    """Hashes the files of a route's queue, then hands them to the journal's queue."""

    def __init__(
        self,
        route: Route,
        queue: HashQueue,
        namer: KeyNamer,
        admit: Callable[[Sequence[Settled]], Awaitable[None]],
        hint: Callable[[bytes], None],
        log: Logger,
    ) -> None:
        self._route = route
        self._queue = queue
        self._namer = namer
        self._admit = admit
        self._hint = hint
        self._log = log
        self._threads = ThreadPool(2, f"hash-{route.name}")

    async def run(self) -> None:
        """Hash queued files until cancelled. Raises StateDirError."""
        async with asyncio.TaskGroup() as group:
            for oldest in (False, True):
                group.create_task(self._serve(oldest=oldest))

    async def drain(self) -> None:
        """Hash files until the queue is empty; may run beside ``run``. Raises StateDirError."""
        while len(self._queue):
            await self._turn(oldest=False)

    def close(self) -> None:
        """Let the threads end after their present calls."""
        self._threads.close()

    async def _serve(self, *, oldest: bool) -> None:
        while True:
            await self._turn(oldest=oldest)

    async def _turn(self, *, oldest: bool) -> None:
        jobs = self._queue.take(oldest=oldest)
        if jobs:
            await self._advance(jobs)
        else:
            await self._queue.wait_changed()

    async def _advance(self, jobs: list[HashJob]) -> None:
        try:
            results = await self._watched(jobs, self._threads.begin(self._read_all, jobs))
            await self._finish([(job, result) for job, result in results if job in self._queue])
        except BaseException:
            # The thread may still be reading: new jobs make its results void.
            for job in jobs:
                self._queue.restart(job)
            raise
        finally:
            self._queue.notify()

    async def _watched(self, jobs: list[HashJob], reading: asyncio.Future[_Results]) -> _Results:
        """Wait for the results; log when the file system hangs and when it recovers, which nothing else shows."""
        began = time.monotonic()
        try:
            await asyncio.wait({reading}, timeout=_HANG_SECONDS)
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
                job.taken = False
                self._log_progress(job)
            elif isinstance(result, str):
                settled.append(self._namer.name(job.sighting, job.reason, result))
            elif isinstance(result, FileUnreadableError):
                settled.append(self._namer.refuse(job.sighting, "FileUnreadable", str(result)))
        if settled:
            await self._admit(settled)
        for job, result in results:
            if result is not None:
                self._queue.drop(job)
                if isinstance(result, SourceError) and not isinstance(result, FileUnreadableError):
                    self._hint(job.sighting.path)

    def _log_progress(self, job: HashJob) -> None:
        """Log that a large file is still being read: after a minute, then at each doubling."""
        if time.monotonic() - job.began >= job.log_after:
            job.log_after *= 2
            self._log.info("hashing", path=printable(job.sighting.path), bytes=job.size, bytes_read=job.done)

    def _read_all(self, jobs: list[HashJob]) -> _Results:
        """Return the digest or the error of each file (blocking); None for a file that needs another slice."""
        return [(job, self._read(job)) for job in jobs]

    def _read(self, job: HashJob) -> str | SourceError | None:
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


def _first_unread(jobs: list[HashJob]) -> bytes:
    """Return the path that the thread reads now: it reads the files in this order."""
    unread = [job for job in jobs if job.done < job.size]
    return (unread or jobs)[0].sighting.path
