"""Loop 1: what a walk or the watcher saw goes to the settle rule, and what came to rest to the journal.

A walk at the start, every ``rescan_interval``, and whenever events were lost; in between the watcher's hints. File
system calls run in two threads of the route's own (one walks, one looks at single paths), so that neither a long walk
nor the transfers' reading delays a hint. A walk is one batch ahead of what is dealt with: two batches are all that is
ever in memory. Nothing here ever touches the bucket, and a root that is missing or was replaced never makes a file
count as deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.concurrency.waiting import wait_any
from crosshaul.config import Route
from crosshaul.discovery.content_hasher import ContentHasher
from crosshaul.discovery.enqueue import Enqueuer, Looker
from crosshaul.discovery.followed_links import FollowedLinks
from crosshaul.discovery.hint_queue import HintQueue
from crosshaul.discovery.key_namer import KeyNamer
from crosshaul.discovery.leftovers import Leftovers
from crosshaul.discovery.scanner import Batch, Entering, PathStats, Scanner
from crosshaul.discovery.settle import AtRest, Settler, but_for_inode
from crosshaul.discovery.unreadable import UnreadablePaths
from crosshaul.discovery.watch import EventKind, Watcher
from crosshaul.display import printable
from crosshaul.errors import SourceError
from crosshaul.files.marker import counts, marked
from crosshaul.files.own_paths import REMOVAL_PREFIX, OwnPaths
from crosshaul.model import (
    NO_PLAN,
    ChangedFiles,
    Denial,
    PlanId,
    Recorded,
    RouteStatus,
    Settled,
    SettleReason,
    Sighting,
)
from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.logger import Logger

_LOOKS_AT_ONCE = 500
_NEW_DIRECTORIES = 10_000
"""Directories that may wait to be walked; more than these are answered by one walk of everything."""
_BREATH = 0.5
_INODES_HINT = "its inode numbers are made up, and ignored; mount it with serverino (SMB) or use_ino (FUSE)"
_CLOSED = {EventKind.CLOSED: True, EventKind.CHANGED: False, EventKind.APPEARED: False}
"""What a hint says of whether the file's writer has closed it; nothing where it is not in here."""


Rested = tuple[Sighting, SettleReason]


class IntakeJournal(Protocol):
    """What intake needs of the journal."""

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int) -> ChangedFiles:
        """Those that are not recorded in this very state, or not by this plan."""

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """What is recorded of them."""

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]:
        """Queue them, or set them aside with their refusal."""

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        """What was not sent yet is gone."""

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        """What was not sent yet will not be."""

    async def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]:
        """Some of the files that another plan queued and this one has not judged; and where to go on."""

    async def save_route(self, status: RouteStatus) -> None:
        """Keep it for those who ask."""


class IntakeMetrics(Protocol):
    """What intake counts."""

    def lost_events(self, route: str, n: int) -> None:
        """The watcher lost events."""


async def _says_nothing(_route: str, _paths: Sequence[bytes]) -> PathStats | None:
    return None


class Intake:
    """Finds the files of one route that came to rest, and gives them to the journal."""

    def __init__(
        self,
        route: Route,
        journal: IntakeJournal,
        clock: Clock,
        metrics: IntakeMetrics,
        log: Logger,
        hostname: str,
        key_prefix: str,
        plan: PlanId = NO_PLAN,
        elsewhere: Looker = _says_nothing,
        own: Callable[[], OwnPaths] = OwnPaths,
        links: FollowedLinks | None = None,
    ) -> None:
        self._route = route
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._namer = KeyNamer(route, hostname, key_prefix, plan)
        self._scanner = Scanner(route, own, links)
        self._settler = Settler(route.settle.quiet, route.settle.max_wait, route.settle.marker)
        self._walking = ThreadPool(1, f"walk-{route.name}")
        self._looking = ThreadPool(1, f"look-{route.name}")
        self._hasher = ContentHasher(route, self._namer, self._write, self.hint, log)
        self._admitter = Enqueuer(journal, self._look_for_holders, log)
        self._elsewhere = elsewhere
        self._strays = Leftovers(route.name, plan, journal, self._scanner, self._looking)
        self._watcher = Watcher(route.path, self, clock, self._looking)
        self._ends = {EventKind.RENAMED, EventKind.CLOSED} if route.settle.close_write else {EventKind.RENAMED}
        """What ends the wait for a file at once."""
        self._hints = HintQueue()
        self._after_walk = HintQueue()
        self._hinted = asyncio.Event()
        self._attending = asyncio.Lock()
        self._directories: dict[bytes, None] = {}
        self._directory_found = asyncio.Event()
        self._walk_wanted = asyncio.Event()
        self._status = RouteStatus(route.name)
        self._status_changed = asyncio.Event()
        self._left_out = UnreadablePaths(log)
        self._left_to_walk = False
        self._inodes_told = False
        self._walks = FailureStreak()

    # What others call

    @property
    def settling(self) -> int:
        """Files that were seen and have not come to rest."""
        return len(self._settler) + len(self._hasher)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep finding files until ``stop``. Raises StateDirError."""
        services = (
            self._watcher.run,
            self._walk_regularly,
            self._walk_new_directories,
            self._attend_always,
            self._save_changes,
            self._hasher.run,
        )
        await self._until(stop, services)
        await self._save()

    @property
    def problems(self) -> tuple[str, ...]:
        """What the last walk could not read, a line each."""
        lines = sorted(f"{self._route.path}/{message}" for message in self._left_out.messages)
        more = self._left_out.more
        return (*lines, f"{self._route.path}: {more:,} more could not be looked at") if more else tuple(lines)

    @property
    def busy(self) -> bool:
        """Whether anything that was seen or hinted at is still to be judged."""
        return bool(self._hints or self._attending.locked() or self.settling)

    async def attend(self, stop: asyncio.Event) -> None:
        """Answer hints until ``stop`` without watching or walking: beside a sweep, for files that change meanwhile."""
        await self._until(stop, (self._attend_always, self._hasher.run))

    async def sweep(self) -> None:
        """Walk once, and wait until all that was seen is at rest or ``max_wait`` is over; markers are not waited for.

        Raises SourceError if the root can't be read, StateDirError.
        """
        await self._walk()
        while True:
            await self._attend()
            due = self._settler.next_due()
            if due is not None:
                await self._clock.sleep(due - self._clock.monotonic())
            elif len(self._hasher):
                await self._hasher.drain()
            elif self._left_to_walk and self._settler.has_room:  # else all of it waits for markers
                await self._walk()
            else:
                break
        await self._save()

    async def preview(self) -> list[Settled]:
        """What a sweep would give to the journal, without giving it, and without waiting for it to settle.

        Raises SourceError if the root can't be read.
        """
        found: list[Settled] = []
        async for batch in self._batches(b""):
            fresh, rested = await self._news(batch.sightings)
            if self._settler.marker is not None:
                paths = await self._marked(fresh)
                fresh = [sighting for sighting in fresh if sighting.path in paths]
            found += await self._name([(sighting, SettleReason.QUIET) for sighting in [*fresh, *rested]])
        return found

    async def look(self, paths: Sequence[bytes]) -> PathStats | None:
        """What is at these paths now; None where nothing can be said of them."""
        try:
            return await self._looking.run(self._scanner.look, paths)
        except SourceError:
            return None

    def hint(self, path: bytes) -> None:
        """Look at ``path`` (relative to the root) soon; called in the loop."""
        self.heard(path, EventKind.CHANGED)

    def close(self) -> None:
        """Give the threads back."""
        for threads in (self._walking, self._looking, self._hasher):
            threads.close()

    # What the watcher calls

    def heard(self, path: bytes, kind: EventKind) -> None:
        """Look at ``path`` soon."""
        if REMOVAL_PREFIX in path:
            return  # a source that is being deleted
        if not path:
            return
        if kind is EventKind.CHANGED or kind is EventKind.CLOSED:
            awaited = self._settler.heard(path, closed=kind is EventKind.CLOSED)
            # One that is written to all the time is looked at when it is due, not a thousand times before.
            if awaited and kind not in self._ends and not self._attending.locked():
                return
        if not self._hints.add(path, kind):
            self._walk_wanted.set()
        self._hinted.set()

    def lost(self, events: int) -> None:
        """Count it, and walk everything."""
        self._metrics.lost_events(self._route.name, events)
        self._status = replace(self._status, lost_events=self._status.lost_events + events)
        self._log.warning("watch_lost_events", root=str(self._route.path), hint="raise fs.inotify.max_queued_events")
        self.rescan()

    def rescan(self) -> None:
        """Walk everything: what happened up to now may not have been heard."""
        self._settler.may_have_missed()
        self._walk_wanted.set()

    def watcher_is(self, state: str) -> None:
        """Say so, and have it saved."""
        say = self._log.info if state in {"watching", "off"} else self._log.warning
        say("watcher", state=state, root=str(self._route.path))
        self._status = replace(self._status, watcher=state)
        self._status_changed.set()

    # Services

    async def _until(self, stop: asyncio.Event, services: Sequence[Callable[[], Coroutine[None, None, None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(service()) for service in services]
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _walk_regularly(self) -> None:
        while True:
            await self._event(self._walk_wanted, self._route.rescan_interval)
            self._walk_wanted.clear()
            began = self._clock.monotonic()
            with self._walks.log_outage(self._log, SourceError, failed="walk_failed", recovered="walk_recovered"):
                await self._walk()
            # Events lost in a row must not turn into walking without end.
            await self._clock.sleep(max(_BREATH, self._clock.monotonic() - began))

    async def _walk_new_directories(self) -> None:
        while True:
            await self._directory_found.wait()
            self._directory_found.clear()
            while self._directories:
                path = next(iter(self._directories))
                del self._directories[path]
                try:
                    await self._walk_below(path)
                except SourceError:
                    self._walk_wanted.set()

    async def _attend_always(self) -> None:
        while True:
            due = self._settler.next_due()
            await self._event(self._hinted, None if due is None else due - self._clock.monotonic())
            await self._attend()

    async def _save_changes(self) -> None:
        while True:
            await self._status_changed.wait()
            await self._save()

    async def _save(self) -> None:
        self._status_changed.clear()
        self._status = replace(self._status, settling=len(self._settler))
        await self._journal.save_route(self._status)

    # Steps

    async def _walk(self) -> None:
        began, self._left_to_walk = self._clock.monotonic(), False
        async for batch in self._batches(b"", self._watcher.entering):
            await self._take(batch.sightings)
            self._left_out.found(batch.problems)
        self._left_out.scanned()
        await self._strays.judge(self.hint)
        self._watcher.walked()
        for path, kind in self._after_walk.take()[0].items():
            self.heard(path, kind)
        self._note_turned_away()
        took = self._clock.monotonic() - began
        self._status = replace(self._status, last_scan_at=self._clock.now(), last_scan_seconds=took)
        await self._save()

    def _note_turned_away(self) -> None:
        """Say how many files a walk has to bring again; it does as soon as half of what is waited for is done."""
        if self._settler.turned_away:
            waiting, left = len(self._settler) + len(self._hasher), self._settler.turned_away
            self._log.warning("too_many_unsettled", waiting=waiting, left_to_next_walk=left)
            self._settler.turned_away = 0
            self._left_to_walk = True

    async def _walk_below(self, directory: bytes) -> None:
        """Walk a new directory. Renamed into place or not, what is in it is judged by its own times."""
        async for batch in self._batches(directory, self._watcher.entering):
            await self._take(batch.sightings)
            self._left_out.met(batch.problems)

    async def _batches(self, start: bytes, entering: Entering | None = None) -> AsyncIterator[Batch]:
        """A walk, batch by batch: the next is found while the one before is dealt with."""
        walk: Iterator[Batch] = self._scanner.scan(start, entering)
        ahead = self._walking.begin(next, walk, None)
        try:
            while (batch := await ahead) is not None:
                ahead = self._walking.begin(next, walk, None)
                yield batch
        finally:
            ahead.cancel()

    async def _attend(self) -> None:
        """Look at what was hinted at and what is due."""
        async with self._attending:
            self._hinted.clear()
            hints, arrived = self._hints.take()
            for path in self._settler.due(self._clock.monotonic()):
                hints.setdefault(path, EventKind.TOUCHED)
            paths = list(hints)
            for start in range(0, len(paths), _LOOKS_AT_ONCE):
                await self._look_at({path: hints[path] for path in paths[start : start + _LOOKS_AT_ONCE]}, arrived)
        if (self._left_to_walk or self._settler.turned_away) and self._settler.has_room and self._hasher.has_room:
            self._note_turned_away()
            self._walk_wanted.set()

    async def _look_at(self, hints: dict[bytes, EventKind], arrived: set[bytes]) -> None:
        try:
            look = await self._looking.run(self._scanner.look, hints)
        except SourceError:
            # The root is gone or another one. Nothing can be said of single files until it has been walked again.
            self._settler.forget_all(hints)
            for path, kind in hints.items():
                self._after_walk.add(path, kind)
            self._walk_wanted.set()
            return
        self._settler.forget_all([*look.without_file, *(problem.path for problem in look.problems)])
        await self._journal.mark_gone(self._route.name, look.without_file)
        for path in look.directories:
            # One that could not be read, and whose mode or owner changed, has never been walked.
            if path in arrived or self._left_out.mended(path):
                self._walk_soon(path)
        for marker in look.markers:
            for path in self._settler.waiting_for(marker):
                self.hint(path)
        familiar = await self._take(look.sightings, hints)
        self._settler.forget_all(familiar)
        self._left_out.met(look.problems)

    def _walk_soon(self, directory: bytes) -> None:
        if len(self._directories) < _NEW_DIRECTORIES:
            self._directories[directory] = None
            self._directory_found.set()
        else:
            self._walk_wanted.set()

    async def _take(self, sightings: list[Sighting], hints: Mapping[bytes, EventKind] | None = None) -> set[bytes]:
        """Judge what was seen, and admit what is at rest; gives the paths that the journal knows in this very state.

        ``hints``: what was heard of the paths; None = a walk came by them.
        """
        fresh, rested = await self._news(sightings)
        if fresh or rested:
            resting = await self._judge(fresh, hints)
            resting += [(sighting, SettleReason.QUIET) for sighting in rested]
            await self._admit(resting)
        return {sighting.path for sighting in sightings}.difference(sighting.path for sighting in fresh)

    async def _news(self, sightings: list[Sighting]) -> ChangedFiles:
        """Those that the journal does not have in this very state; where inodes are made up, whatever they are."""
        news = await self._journal.filter_changed(self._route.name, sightings, self._plan.id)
        if not news.changed or self._scanner.file_clock.keeps_inodes:
            return news
        recorded = await self._journal.recorded(self._route.name, [sighting.path for sighting in news.changed])
        as_recorded = [as_it_was for one in news.changed if (as_it_was := but_for_inode(one, recorded.get(one.path)))]
        again = await self._journal.filter_changed(self._route.name, as_recorded, self._plan.id)
        known = {one.path for one in as_recorded}.difference(one.path for one in again.changed)
        if known and not self._inodes_told:
            self._inodes_told = True
            self._log.warning("inodes_change", root=str(self._route.path), files=len(known), hint=_INODES_HINT)
        return ChangedFiles(
            [one for one in news.changed if one.path not in known], [*news.other_plan, *again.other_plan]
        )

    async def _judge(self, fresh: list[Sighting], hints: Mapping[bytes, EventKind] | None) -> list[Rested]:
        """Those of ``fresh`` that are at rest; the settler keeps the others in mind."""
        with_marker = await self._marked(fresh)
        moved = await self._moved(fresh)
        next_due, resting = self._settler.next_due(), []
        self._settler.file_clock = self._scanner.file_clock
        now, wall_ns = self._clock.monotonic(), int(self._clock.now() * 1e9)
        ends, heard = self._ends, hints or {}
        for sighting in fresh:
            path = sighting.path
            kind = heard.get(path)
            verdict = self._settler.observe(
                sighting,
                now,
                wall_ns,
                finished=kind in ends or path in moved,
                marked=path in with_marker,
                walked=hints is None,
                closed=None if kind is None else _CLOSED.get(kind),
            )
            if isinstance(verdict, AtRest):
                resting.append((sighting, verdict.reason))
                if verdict.reason is SettleReason.CEILING:
                    self._log.warning("taken_while_changing", path=printable(path), waited=self._route.settle.max_wait)
        if self._settler.next_due() != next_due:
            self._hinted.set()
        return resting

    async def _marked(self, fresh: list[Sighting]) -> set[bytes]:
        """Those whose marker counts; the journal is asked only where its time stamps alone don't decide."""
        if self._settler.marker is None:
            return set()
        markers = await self._looking.run(self._scanner.markers, fresh)
        unsure = [
            one.path for one in fresh if one.path not in markers or not counts(markers[one.path], one.fingerprint)
        ]
        recorded = await self._journal.recorded(self._route.name, unsure) if unsure else {}
        return marked(fresh, markers, recorded)

    async def _moved(self, fresh: list[Sighting]) -> set[bytes]:
        """Those that were seen under another name, where nothing is now: renamed, although nobody heard it."""
        twins = {sighting.path: twin for sighting in fresh if (twin := self._settler.twin(sighting)) is not None}
        if not twins:
            return set()
        look = await self._looking.run(self._scanner.look, list(twins.values()))
        gone = set(look.absent)
        return {path for path, twin in twins.items() if twin in gone}

    async def _admit(self, resting: list[Rested]) -> None:
        """Give them their keys and write them down; where keys are by content, that is read first, beside all this."""
        reads = self._namer.needs_sha256
        await self._write([self._namer.name(*one, None) for one in resting if not reads or self._namer.refuses(one[0])])
        for sighting, reason in resting if reads else ():
            if not self._namer.refuses(sighting) and not self._hasher.add(sighting, reason):
                self._settler.turned_away += 1

    async def _look_for_holders(self, route: str, paths: Sequence[bytes]) -> PathStats | None:
        return await (self.look(paths) if route == self._route.name else self._elsewhere(route, paths))

    async def _write(self, settled: Sequence[Settled]) -> None:
        await self._admitter.admit(settled)

    async def _name(self, resting: list[Rested]) -> list[Settled]:
        """What they would be given; where keys are by content, one after the other is read for it."""
        if not self._namer.needs_sha256:
            return [self._namer.name(*one, None) for one in resting]
        named = [await self._looking.run(self._namer.read, *one) for one in resting]
        return [one for one in named if one is not None]

    async def _event(self, event: asyncio.Event, seconds: float | None) -> None:
        """Come back when ``event`` is set, or after ``seconds``."""
        if seconds is None:
            await event.wait()
        else:
            await wait_any(event.wait(), self._clock.sleep(seconds))
