"""Judge the files that were seen: drop those that the journal knows, and queue those that have settled."""

from __future__ import annotations

from collections.abc import Mapping

from crosshaul.discovery.context import DiscoveryContext
from crosshaul.discovery.enqueue import Enqueuer
from crosshaul.discovery.hash_queue import HashQueue
from crosshaul.discovery.hint_inbox import HintInbox
from crosshaul.discovery.key_namer import KeyNamer
from crosshaul.discovery.settle import AtRest, with_recorded_inode
from crosshaul.discovery.watch import EventKind
from crosshaul.display import printable
from crosshaul.files.marker import counts, marked
from crosshaul.model import ChangedFiles, Settled, SettleReason, Sighting

_INODES_HINT = "its inode numbers are not stable and are ignored; mount it with serverino (SMB) or use_ino (FUSE)"
_CLOSED = {EventKind.CLOSED: True, EventKind.CHANGED: False, EventKind.APPEARED: False}
"""True if an event says that the file's writer has closed it; other events say neither."""

SettledSighting = tuple[Sighting, SettleReason]
Hints = Mapping[bytes, EventKind]


class Candidates:
    """Takes one route's files from a sighting to the journal's queue."""

    def __init__(
        self, context: DiscoveryContext, inbox: HintInbox, namer: KeyNamer, hash_queue: HashQueue, enqueuer: Enqueuer
    ) -> None:
        self._context = context
        self._inbox = inbox
        self._namer = namer
        self._hash_queue = hash_queue
        self._enqueuer = enqueuer
        self._settler = context.settler
        self._unsettled = context.unsettled
        self._inodes_logged = False

    def __len__(self) -> int:
        """Return how many files were seen and are not queued yet."""
        return len(self._unsettled) + len(self._hash_queue)

    async def process(self, sightings: list[Sighting], hints: Hints | None = None) -> set[bytes]:
        """Queue the files that have settled; return the paths whose present state the journal knows.

        ``hints``: the latest event of each path; None if a scan found them.
        """
        changed, other_plan = await self._filter_changed(sightings)
        if changed or other_plan:
            settled = await self._judge(changed, hints)
            settled += [(sighting, SettleReason.QUIET) for sighting in other_plan]
            await self._enqueue(settled)
        return {sighting.path for sighting in sightings}.difference(sighting.path for sighting in changed)

    async def preview(self, sightings: list[Sighting]) -> list[Settled]:
        """Return what would be queued if all files had settled; writes nothing."""
        changed, other_plan = await self._filter_changed(sightings)
        if self._settler.marker is not None:
            paths = await self._with_marker(changed)
            changed = [sighting for sighting in changed if sighting.path in paths]
        settled = [*changed, *other_plan]
        if not self._namer.needs_sha256:
            return [self._namer.name(sighting, SettleReason.QUIET, None) for sighting in settled]
        run = self._context.stat_threads.run
        named = [await run(self._namer.read, sighting, SettleReason.QUIET) for sighting in settled]
        return [one for one in named if one is not None]

    async def _filter_changed(self, sightings: list[Sighting]) -> ChangedFiles:
        """Drop files that the journal knows in this state; without stable inodes the inode does not count."""
        context = self._context
        route, journal, plan = context.route.name, context.journal, context.plan.id
        filtered = await journal.filter_changed(route, sightings, plan)
        if not filtered.changed or context.scanner.file_clock.keeps_inodes:
            return filtered
        recorded = await journal.recorded(route, [sighting.path for sighting in filtered.changed])
        as_recorded = [
            adjusted for one in filtered.changed if (adjusted := with_recorded_inode(one, recorded.get(one.path)))
        ]
        refiltered = await journal.filter_changed(route, as_recorded, plan)
        known = {one.path for one in as_recorded}.difference(one.path for one in refiltered.changed)
        if known and not self._inodes_logged:
            self._inodes_logged = True
            context.log.warning("inodes_change", root=str(context.route.path), files=len(known), hint=_INODES_HINT)
        changed = [one for one in filtered.changed if one.path not in known]
        return ChangedFiles(changed, [*filtered.other_plan, *refiltered.other_plan])

    async def _judge(self, changed: list[Sighting], hints: Hints | None) -> list[SettledSighting]:
        """Return the files that have settled; the settler keeps the others."""
        with_marker = await self._with_marker(changed)
        renamed = await self._renamed(changed)
        next_due, settled = self._unsettled.next_due(), []
        self._settler.file_clock = self._context.scanner.file_clock
        now, wall_ns = self._context.clock.monotonic(), int(self._context.clock.now() * 1e9)
        finishing, events = self._inbox.finishing, hints or {}
        for sighting in changed:
            path = sighting.path
            kind = events.get(path)
            if kind is not None and self._inbox.outdated(path, kind):
                kind = None  # the file may have been written to after the event, and before the stat
            verdict = self._settler.observe(
                sighting,
                now,
                wall_ns,
                finished=kind in finishing or path in renamed,
                marked=path in with_marker,
                scanned=hints is None,
                closed=None if kind is None else _CLOSED.get(kind),
            )
            if isinstance(verdict, AtRest):
                settled.append((sighting, verdict.reason))
                if verdict.reason is SettleReason.CEILING:
                    waited = self._context.route.settle.max_wait
                    self._context.log.warning("queued_while_changing", path=printable(path), waited_seconds=waited)
        if self._unsettled.next_due() != next_due:
            self._inbox.filled.set()
        return settled

    async def _with_marker(self, changed: list[Sighting]) -> set[bytes]:
        """Return the files with a valid marker; asks the journal only if time stamps alone do not decide."""
        if self._settler.marker is None:
            return set()
        markers = await self._context.stat_threads.run(self._context.scanner.markers, changed)
        unsure = [
            one.path for one in changed if one.path not in markers or not counts(markers[one.path], one.fingerprint)
        ]
        recorded = await self._context.journal.recorded(self._context.route.name, unsure) if unsure else {}
        return marked(changed, markers, recorded)

    async def _renamed(self, changed: list[Sighting]) -> set[bytes]:
        """Return files that were seen under another name, which is gone: they were renamed, even without an event."""
        others = {one.path: other for one in changed if (other := self._unsettled.other_path(one)) is not None}
        if not others:
            return set()
        stats = await self._context.stat_paths(list(others.values()))
        gone = set(stats.absent)
        return {path for path, other in others.items() if other in gone}

    async def _enqueue(self, settled: list[SettledSighting]) -> None:
        """Name the files and queue them; keys by content are made by the hasher, which queues the file then."""
        hashed, refused = self._namer.needs_sha256, self._namer.refuses
        await self._enqueuer.enqueue([self._namer.name(*one, None) for one in settled if not hashed or refused(one[0])])
        for sighting, reason in settled if hashed else ():
            if not refused(sighting) and not self._hash_queue.add(sighting, reason):
                self._unsettled.turned_away += 1
