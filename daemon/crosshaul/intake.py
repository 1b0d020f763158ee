"""Loop 1: what a walk or the watcher saw goes to the settle rule, and what came to rest to the journal.

A walk at the start, every ``rescan_interval``, and whenever events were lost; in between the watcher's hints. File
system calls run in two threads of the route's own (one walks, one looks at single paths), so that neither a long walk
nor the transfers' reading delays a hint. A walk is one batch ahead of what is dealt with: two batches are all that is
ever in memory. Nothing here ever touches the bucket, and a root that is missing or was replaced never makes a file
count as deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from crosshaul.clock import Clock
from crosshaul.config import Route
from crosshaul.errors import FileUnreadableError, SourceError
from crosshaul.marker import counts, marked
from crosshaul.model import NO_PLAN, Denial, News, Plan, Reason, Recorded, RouteStatus, Settled, Sighting
from crosshaul.naming import Namer
from crosshaul.scan import Batch, Entering, Problem, Scanner
from crosshaul.settle import AtRest, Settler
from crosshaul.source import shown
from crosshaul.telemetry.streak import Streak
from crosshaul.threads import Threads
from crosshaul.watch import Kind, Watcher

MAX_HINTS = 50_000
"""Hints that may be waiting; more than these are answered by one walk of everything."""
_LOOKS_AT_ONCE = 500
_HASHES_AT_ONCE = 2
_LISTED_PROBLEMS = 1_000
_BREATH = 0.5

_FINISHED = {Kind.RENAMED, Kind.CLOSED}
_SAYS_LESS = {kind: {Kind.TOUCHED, Kind.CHANGED} if kind is Kind.APPEARED else {Kind.TOUCHED} for kind in Kind}
"""What, heard of a path after the key, leaves that standing. Anything else is the news."""

Rested = tuple[Sighting, Reason]


class IntakeJournal(Protocol):
    """What intake needs of the journal."""

    async def unfamiliar(self, route: str, sightings: Sequence[Sighting], plan: int) -> News:
        """Those that are not recorded in this very state, or not by this plan."""

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """What is recorded of them."""

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]:
        """Queue them, or set them aside with their refusal."""

    async def vanished(self, route: str, paths: Sequence[bytes]) -> None:
        """What was not sent yet is gone."""

    async def save_route(self, status: RouteStatus) -> None:
        """Keep it for those who ask."""


class IntakeMetrics(Protocol):
    """What intake counts."""

    def lost_events(self, route: str, n: int) -> None:
        """The watcher lost events."""


class Log(Protocol):
    """What is used of a logger."""

    def info(self, event: str, **fields: object) -> object:
        """Something a person may want to know."""

    def warning(self, event: str, **fields: object) -> object:
        """Something a person should look at."""


class Intake:
    """Finds the files of one route that came to rest, and gives them to the journal."""

    def __init__(
        self,
        route: Route,
        journal: IntakeJournal,
        clock: Clock,
        metrics: IntakeMetrics,
        log: Log,
        hostname: str,
        key_prefix: str,
        plan: Plan = NO_PLAN,
    ) -> None:
        self._route = route
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._namer = Namer(route, hostname, key_prefix, plan)
        self._scanner = Scanner(route)
        self._settler = Settler(route.settle.quiet, route.settle.max_wait, route.settle.marker)
        self._walking = Threads(1, f"walk-{route.name}")
        self._looking = Threads(1, f"look-{route.name}")
        self._hashing = Threads(_HASHES_AT_ONCE, f"hash-{route.name}")
        self._watcher = Watcher(route.path, self, clock, self._looking)
        self._hints: dict[bytes, Kind] = {}
        self._after_walk: dict[bytes, Kind] = {}
        self._hinted = asyncio.Event()
        self._attending = asyncio.Lock()
        self._directories: dict[bytes, bool] = {}
        self._directory_found = asyncio.Event()
        self._walk_wanted = asyncio.Event()
        self._status = RouteStatus(route.name)
        self._status_changed = asyncio.Event()
        self._problems: set[Problem] = set()
        self._walks = Streak()

    # What others call

    @property
    def settling(self) -> int:
        """Files that were seen and have not come to rest."""
        return len(self._settler)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep finding files until ``stop``. Raises StateDirError."""
        services = (
            self._watcher.run,
            self._walk_regularly,
            self._walk_new_directories,
            self._attend_always,
            self._save_changes,
        )
        await self._until(stop, services)
        await self._save()

    @property
    def problems(self) -> tuple[str, ...]:
        """What the last walk could not read, a line each."""
        return tuple(sorted(f"{self._route.path}/{each.message}" for each in self._problems if each.unreadable))

    @property
    def busy(self) -> bool:
        """Whether anything that was seen or hinted at is still to be judged."""
        return bool(self._hints or self._attending.locked() or self.settling)

    async def attend(self, stop: asyncio.Event) -> None:
        """Answer hints until ``stop`` without watching or walking: beside a sweep, for files that change meanwhile."""
        await self._until(stop, (self._attend_always,))

    async def sweep(self) -> None:
        """Walk once, and wait until all that was seen is at rest or ``max_wait`` is over; markers are not waited for.

        Raises SourceError if the root can't be read, StateDirError.
        """
        await self._walk()
        while True:
            await self._attend()
            due = self._settler.next_due()
            if due is None:
                break
            await self._clock.sleep(due - self._clock.monotonic())
        await self._save()

    async def preview(self) -> list[Settled]:
        """What a sweep would give to the journal, without giving it, and without waiting for it to settle.

        Raises SourceError if the root can't be read.
        """
        found: list[Settled] = []
        async for batch in self._batches(b""):
            fresh, rested = await self._journal.unfamiliar(self._route.name, batch.sightings, self._plan.id)
            if self._settler.marker is not None:
                paths = await self._marked(fresh)
                fresh = [sighting for sighting in fresh if sighting.path in paths]
            found += await self._name([(sighting, Reason.QUIET) for sighting in [*fresh, *rested]])
        return found

    def hint(self, path: bytes) -> None:
        """Look at ``path`` (relative to the root) soon; called in the loop."""
        self.heard(path, Kind.CHANGED)

    def close(self) -> None:
        """Give the threads back."""
        for threads in (self._walking, self._looking, self._hashing):
            threads.close()

    # What the watcher calls

    def heard(self, path: bytes, kind: Kind) -> None:
        """Look at ``path`` soon."""
        if kind is Kind.CLOSED and not self._route.settle.close_write:
            kind = Kind.CHANGED
        # One that is written to all the time is looked at when it is due, not a thousand times before.
        if not path or (kind is Kind.CHANGED and self._settler.awaits(path) and not self._attending.locked()):
            return
        if len(self._hints) >= MAX_HINTS and path not in self._hints:
            self._walk_wanted.set()
        else:
            before = self._hints.get(path)
            self._hints[path] = kind if before is None or kind not in _SAYS_LESS.get(before, ()) else before
        self._hinted.set()

    def lost(self, events: int) -> None:
        """Count it, and walk everything."""
        self._metrics.lost_events(self._route.name, events)
        self._status = replace(self._status, lost_events=self._status.lost_events + events)
        self._log.warning("watch_lost_events", root=str(self._route.path), cure="raise fs.inotify.max_queued_events")
        self._walk_wanted.set()

    def rescan(self) -> None:
        """Walk everything."""
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
            with self._walks.told(self._log, SourceError, failed="walk_failed", recovered="walk_recovered"):
                await self._walk()
            # Events lost in a row must not turn into walking without end.
            await self._clock.sleep(max(_BREATH, self._clock.monotonic() - began))

    async def _walk_new_directories(self) -> None:
        while True:
            await self._directory_found.wait()
            self._directory_found.clear()
            while self._directories:
                path = next(iter(self._directories))
                renamed = self._directories.pop(path)
                try:
                    await self._walk_below(path, renamed=renamed)
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
        began, problems = self._clock.monotonic(), set[Problem]()
        async for batch in self._batches(b"", self._watcher.entering):
            await self._take(batch.sightings)
            self._report([problem for problem in batch.problems if problem not in self._problems])
            problems.update(batch.problems[: _LISTED_PROBLEMS - len(problems)])
        self._problems = problems
        self._watcher.walked()
        for path, kind in self._after_walk.items():
            self.heard(path, kind)
        self._after_walk = {}
        if self._settler.turned_away:
            self._log.warning(
                "too_many_unsettled", waiting=len(self._settler), left_to_next_walk=self._settler.turned_away
            )
            self._settler.turned_away = 0
        took = self._clock.monotonic() - began
        self._status = replace(self._status, last_scan_at=self._clock.now(), last_scan_seconds=took)
        await self._save()

    async def _walk_below(self, directory: bytes, *, renamed: bool) -> None:
        """Walk a new directory; if it was renamed into place, so was all that is in it."""
        async for batch in self._batches(directory, self._watcher.entering):
            await self._take(batch.sightings, lambda _: renamed)
            self._report(batch.problems)

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
            hints, self._hints = self._hints, {}
            for path in self._settler.due(self._clock.monotonic()):
                hints.setdefault(path, Kind.CHANGED)
            paths = list(hints)
            for start in range(0, len(paths), _LOOKS_AT_ONCE):
                await self._look_at({path: hints[path] for path in paths[start : start + _LOOKS_AT_ONCE]})

    async def _look_at(self, hints: dict[bytes, Kind]) -> None:
        try:
            look = await self._looking.run(self._scanner.look, hints)
        except SourceError:
            # The root is gone or another one. Nothing can be said of single files until it has been walked again.
            self._settler.forget_all(hints)
            self._after_walk.update(list(hints.items())[: MAX_HINTS - len(self._after_walk)])
            self._walk_wanted.set()
            return
        self._settler.forget_all([*look.absent, *(problem.path for problem in look.problems)])
        await self._journal.vanished(self._route.name, look.absent)
        for path in look.directories:
            if hints[path] in {Kind.APPEARED, Kind.RENAMED}:
                self._directories[path] = hints[path] is Kind.RENAMED
                self._directory_found.set()
        for marker in look.markers:
            for path in self._settler.waiting_for(marker):
                self.hint(path)
        familiar = await self._take(look.sightings, lambda path: hints[path] in _FINISHED, walked=False)
        self._settler.forget_all(familiar)
        self._report(look.problems)

    async def _take(
        self, sightings: list[Sighting], finished: Callable[[bytes], bool] = lambda _: False, *, walked: bool = True
    ) -> set[bytes]:
        """Judge what was seen, and admit what is at rest; gives the paths that the journal knows in this very state."""
        fresh, rested = await self._journal.unfamiliar(self._route.name, sightings, self._plan.id)
        if fresh or rested:
            resting = await self._judge(fresh, finished, walked=walked)
            resting += [(sighting, Reason.QUIET) for sighting in rested]
            await self._journal.admit(await self._name(resting))
        return {sighting.path for sighting in sightings}.difference(sighting.path for sighting in fresh)

    async def _judge(self, fresh: list[Sighting], finished: Callable[[bytes], bool], *, walked: bool) -> list[Rested]:
        """Those of ``fresh`` that are at rest; the settler keeps the others in mind."""
        with_marker = await self._marked(fresh)
        moved = await self._moved(fresh)
        next_due, resting = self._settler.next_due(), []
        self._settler.file_clock = self._scanner.file_clock
        now, wall_ns = self._clock.monotonic(), int(self._clock.now() * 1e9)
        for sighting in fresh:
            path = sighting.path
            verdict = self._settler.observe(
                sighting,
                now,
                wall_ns,
                finished=finished(path) or path in moved,
                marked=path in with_marker,
                walked=walked,
            )
            if isinstance(verdict, AtRest):
                resting.append((sighting, verdict.reason))
                if verdict.reason is Reason.CEILING:
                    self._log.warning("taken_while_changing", path=shown(path), waited=self._route.settle.max_wait)
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

    async def _name(self, resting: list[Rested]) -> list[Settled]:
        if not self._namer.needs_sha256:
            return [self._namer.name(sighting, reason, None) for sighting, reason in resting]
        named = []
        for sighting, reason in resting:
            try:
                named.append(self._namer.name(sighting, reason, await self._hashing.run(self._namer.sha256, sighting)))
            except FileUnreadableError as error:
                named.append(self._namer.refuse(sighting, "FileUnreadable", str(error)))
            except SourceError:
                self.hint(sighting.path)
        return named

    def _report(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            self._log.warning("left_out", path=shown(problem.path), reason=problem.message)

    async def _event(self, event: asyncio.Event, seconds: float | None) -> None:
        """Come back when ``event`` is set, or after ``seconds``."""
        waits: list[asyncio.Task[object]] = [asyncio.create_task(event.wait())]
        if seconds is not None:
            waits.append(asyncio.create_task(self._clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
