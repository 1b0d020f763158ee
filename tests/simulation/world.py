"""Run the story of a seed: the real loops on a simulated disk, account and clock, with crashes and restarts."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from crosshaul import model
from crosshaul.aws import refresher as identity
from crosshaul.delivery import condition_probe, upload
from crosshaul.delivery.after_upload import batch_finisher, source_removal, source_verification
from crosshaul.delivery.after_upload.writer_visibility import Leases
from crosshaul.discovery import directory_trail, intake, ownership, scanner, tree_scan
from crosshaul.discovery.watch import EventKind as Event
from crosshaul.files import growing_prefix, move_target, open_writers, read_threads, root, source_file
from crosshaul.files.file_clock import FileClock
from crosshaul.journal.sqlite import opening, store
from crosshaul.model import SettleReason
from crosshaul.service import bucket_access, builder, pipeline_builder, runtime
from crosshaul.telemetry import logs
from simulation import journal
from simulation.account import Account, Chain, Control, Wire
from simulation.disk import Disk, DiskOs
from simulation.oracles import Oracles
from simulation.story import FORBIDDEN, PART, THRESHOLD, TOP, WRITING_SECONDS, Setting, Story, by_chance
from simulation.writers import Writers
from support.virtual_time import VirtualClock, VirtualLoop

_PATIENCE_SECONDS = 360.0
"""Time after the last fault in which everything has to be finished."""


class Broken(AssertionError):
    """A rule was violated."""


class Quiet:
    """Replaces log and metrics; a log event about a bug fails the seed."""

    def __init__(self, world: World) -> None:
        self._world = world

    def bind(self, **_: object) -> Quiet:
        return self

    def error(self, event: str, **fields: object) -> None:
        if event in {"unexpected_error", "service_failed", "claims_lost"}:
            self._world.broken(f"{event}: {fields}")

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Watcher:
    """Receives the disk's events late or not at all, and rarely knows that it missed some.

    Some events never come, as those of writers on other machines; only few of these losses are reported.
    """

    def __init__(self, world: World, root: Path, listener: Any) -> None:
        self._world = world
        self._prefix = bytes(root) + b"/"
        self._listener = listener
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        """When each event is read at the latest, and what delivers it."""

    def watch_directory(self, directory: bytes, descriptor: int) -> None: ...

    def scan_finished(self) -> None: ...

    async def deliver_pending(self) -> None:
        self._deliver(until=float("inf"))

    async def run(self) -> None:
        self._listener.on_watcher_state("watching")
        self._listener.request_scan()
        self._world.watchers.append(self)
        try:
            await asyncio.Event().wait()
        finally:
            self._world.watchers.remove(self)

    def happened(self, path: bytes, event: Event) -> None:
        """Deliver an event, at random."""
        chance = self._world.chance
        roll = chance.random()
        if not path.startswith(self._prefix) or roll < 0.15:
            return
        if roll < 0.2:
            self._add(chance.random(), partial(self._listener.on_events_lost, 1))
        else:
            below = path.removeprefix(self._prefix)
            self._add(chance.random() * 0.05, partial(self._listener.on_event, below, event))

    def _add(self, delay: float, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        read_at = max(loop.time() + delay, self._queue[-1][0] if self._queue else 0.0)
        self._queue.append((read_at, deliver))
        loop.call_at(read_at, self._deliver, read_at)

    def _deliver(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self._queue.popleft()[1]()


async def _no_tls(_: object) -> None:
    """Load no certificates: the simulated account has no connections."""


class World:
    """Everything that outlives a life, and the violations found."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        random.seed(seed)
        self.moment = 0.0
        self.trace: list[str] = []
        self.faults: list[str] = []
        self.watchers: list[Watcher] = []
        self.story = story = Story.of(self.chance)
        epoch = VirtualClock.EPOCH
        self.disk = Disk(lambda: epoch + self.now() + self.skew() + story.disk_offset)
        self.database = journal.fresh()
        self.account = Account(self.chance, lambda: epoch + self.now(), self._written, self.broken, epoch)
        self._bring_trouble()
        self.oracles = Oracles(story, self.disk, self.account, self.now, self.broken)
        self.loop: VirtualLoop | None = None
        self._kept: list[object] = []
        for folder in {kind.folder for _, setting in story.settings for kind in setting.kinds}:
            self.disk.make(TOP + b"/" + folder.encode())
        self.disk.make(TOP + b"/moved")
        self.writers = Writers(story, self.disk, self)
        self._rests_by = story.calm_at + _PATIENCE_SECONDS

    def _bring_trouble(self) -> None:
        story, account, epoch = self.story, self.account, VirtualClock.EPOCH
        account.skew = self.skew
        # Files behind a hanging directory are counted apart from files that wait for the account.
        account.calm_at = epoch + (story.hung[0] if story.hung_folder else story.calm_at)
        account.refusing, account.sts_away, account.s3_away = (
            (epoch + span[0], epoch + span[1]) for span in (story.refusing, story.sts_away, story.s3_away)
        )
        account.late_commits = story.late_commits
        account.forbidden = FORBIDDEN if story.theme == "forbidden" else ""

    def now(self) -> float:
        return self.loop.moment if self.loop is not None else self.moment

    def skew(self) -> float:
        """Return the present error of the machine's clock, in seconds."""
        return next((wrong for at, wrong in reversed(self.story.skews) if at <= self.now()), 0.0)

    def note(self, what: str) -> None:
        self.trace.append(f"{self.now():9.4f} {what}")

    def broken(self, what: str) -> None:
        """Record a violation."""
        self.note(f"BROKEN: {what}")
        self.faults.append(what)

    def counts(self) -> Counter[str]:
        """Return the counts of the story's events."""
        killed = sum(line.endswith(" kill -9") for line in self.trace)
        again = sum(held.writes - 1 for held in self.account.objects.values())
        counts = {
            "kills": killed,
            "writes": self.writers.writes,
            self.story.theme: 1,
            "faults": self.account.faulted,
            "objects": len(self.account.objects),
        }
        return Counter(counts | {"written over": again})

    # What writers tell

    def state(self, label: str, *, growing: bool = False) -> None:
        """See ``Oracles.state``."""
        self.oracles.state(label, growing=growing)

    def expect(self, label: str, within: float) -> None:
        """See ``Oracles.expect``."""
        self.oracles.expect(label, within)

    def tell(self, path: bytes, event: Event, what: str) -> None:
        """Record an event, and inform the watchers."""
        self.note(f"{path.decode()} {what}")
        for watcher in self.watchers:
            watcher.happened(path, event)

    def _written(self, bucket: str, key: str, data: bytes) -> None:
        self.note(f"S3 has {bucket}/{key}, {len(data)} bytes")
        self.oracles.written(bucket, key, data, never_settled=self._is_sent_unsettled(bucket, key))

    def _is_sent_unsettled(self, bucket: str, key: str) -> bool:
        """Return whether the file that is being sent there was queued because it never settled."""
        query = "SELECT 1 FROM placed WHERE bucket = ? AND key = ? AND state = 'uploading' AND settled_by = ?"
        return self.database.execute(query, (bucket, key, SettleReason.CEILING)).fetchone() is not None

    def _reading(self) -> None:
        if self.story.next_deed is not None and self.chance.random() < 0.03:
            self._do(early=True)

    def _do(self, *, early: bool = False) -> None:
        deed = self.story.pop(early=early)
        if deed is not None:
            (self.writers.deed if by_chance(deed) else deed)()

    # Lives

    def run(self) -> None:
        """Run until the world rests. Raises Broken."""
        with ExitStack() as patches:
            self._patch(patches)
            while not self._life():
                if self.faults or self.moment > self._rests_by:
                    break
        self.oracles.check_outage()
        if not self.faults and (unrest := self.oracles.unrest(self.database)):
            self.broken(unrest)
        if self.faults:
            raise Broken(self.faults[0])

    def _patch(self, patches: ExitStack) -> None:
        quiet, disk_os = Quiet(self), DiskOs(self.disk, self._reading, self.oracles.leaving, self.broken)
        journal.TurnWriter.chance, journal.TurnWriter.committed = self.chance, self.oracles.committed
        for owner, name, stand_in in (
            (directory_trail, "os", disk_os),
            (tree_scan, "os", disk_os),
            (scanner, "file_clock_at", lambda _: self._file_clock()),
            (read_threads, "time", SimpleNamespace(monotonic=self.now)),
            (root, "os", disk_os),
            (source_file, "os", disk_os),
            (growing_prefix, "os", disk_os),
            (source_removal, "os", disk_os),
            (batch_finisher, "os", disk_os),
            (source_verification, "os", disk_os),
            (source_removal, "rename_at_once", disk_os.rename_at_once),
            (source_removal, "rename_noreplace", disk_os.rename_noreplace),
            (open_writers.ReadLease, "take", disk_os.take_lease),
            (open_writers, "open_for_writing", frozenset),
            (batch_finisher, "leases_at", lambda *_, **__: Leases(granted_tells=True, refused_tells=True)),
            (move_target, "os", disk_os),
            (ownership, "identity_at", self._identity),
            (source_file, "_MAPPED_BYTES", 1 << 40),
            (upload, "MIN_HEAD_BYTES", 100),
            (condition_probe, "MIN_HEAD_BYTES", 100),
            (
                model.claim,
                "LARGE",
                PART,
            ),  # not by the journal's queries: files change their route after the claim
            (runtime, "LARGE", PART),
            (builder, "Metrics", lambda: quiet),
            (builder, "BaseCredentials", lambda _: Chain(self.account)),
            (pipeline_builder, "BaseCredentials", lambda _: Chain(self.account)),
            (bucket_access, "S3ControlClient", lambda to, refresher, _: Control(self.account, to.bucket, refresher)),
            (bucket_access, "_tls_context", _no_tls),
            (bucket_access, "_upload_client", lambda _, to, *__: Wire(self.account, to.bucket)),
            (logs, "get", lambda _: quiet),
            (identity, "conceal", lambda *_: None),
            (intake, "Watcher", lambda root, listener, *_: Watcher(self, root, listener)),
            (opening, "open_state_dir", journal.opener(self.database)),
            (store, "Writer", journal.TurnWriter),
        ):
            patches.enter_context(patch.object(owner, name, stand_in))

    def _life(self) -> bool:
        """Run until rest (True) or until a crash."""
        self.loop = loop = VirtualLoop(self.moment, self.chance, self._hangs)
        loop.set_exception_handler(self._surprised)
        self.watchers.clear()
        self.account.in_flight = self.account.most_in_flight = 0
        self.note("a life begins")
        asyncio.set_event_loop(loop)
        if (ends := self._ends()) is not None:
            loop.call_at(max(ends, self.moment + 0.01), loop.stop)
        setting = self.story.setting(self.moment)
        living = loop.create_task(self._live(setting))
        try:
            loop.run_until_complete(living)
            return True
        except RuntimeError as error:
            if "stopped before" not in str(error):
                raise
            self.note("kill -9")
            return False
        finally:
            # Cut-off work stays unchanged until the end, because nothing of a dead process runs.
            self._kept.append((living, asyncio.all_tasks(loop)))
            self.moment, self.loop = loop.moment + 0.5, None
            if living.done():
                loop.close()
            else:
                self._kept.append(loop)

    def _file_clock(self) -> FileClock:
        return FileClock(ours=not self.story.disk_offset, multigrain=True, keeps_inodes=True)

    def _identity(self, path: Any) -> tuple[int, int] | None:
        try:
            node = self.disk.find(os.fsencode(path)) if os.fsencode(path).startswith(TOP) else None
        except FileNotFoundError:
            return None
        return None if node is None or node.entries is None else (1, node.inode)

    def _hangs(self, threads: str) -> float:
        """Return for how long a call of these threads hangs: until their directory responds again."""
        begin, end = self.story.hung
        folder, now = self.story.hung_folder, self.now()
        return end - now if folder and folder in threads and begin <= now < end else 0.0

    def _ends(self) -> float | None:
        """Return when this life is cut short: by a crash, or for another configuration."""
        changes = [since for since, _ in self.story.settings if since > self.moment]
        crashes, changed = self.story.crashes, min(changes, default=float("inf"))
        if crashes and crashes[0] < changed:
            return crashes.pop(0)
        return changed if changes else None

    def _surprised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Fail for an exception in a callback of the simulation; tasks raise theirs to their awaiters."""
        if "handle" in context:
            self.broken(f"{context['message']}: {context.get('exception')!r}")

    async def _live(self, setting: Setting) -> None:
        assert self.loop is not None
        stop, writing = asyncio.Event(), asyncio.create_task(self._write())
        config, clock = setting.config(), VirtualClock(self.skew)
        async with builder.open_runtime(config, config.routes, clock) as opened:
            services = [*opened.delivery_services(), *opened.support_services()]
            tasks = [asyncio.create_task(service.run(stop), name=service.name) for service in services]
            while not self._over(tasks, writing):
                await asyncio.sleep(1.0)
            stop.set()
            await asyncio.wait(tasks, timeout=60)
            self._inspect(opened, tasks)

    async def _write(self) -> None:
        while (at := self.story.next_deed) is not None:
            await asyncio.sleep(min(0.05, max(0.0, at - self.now())))
            if at <= self.now() and self.story.next_deed is not None:
                self._do()

    def _over(self, tasks: list[asyncio.Task[None]], writing: asyncio.Task[None]) -> bool:
        for task in tasks:
            if task.done():
                self.broken(f"{task.get_name()} ended: {task.exception() if not task.cancelled() else 'cancelled'}")
        self.oracles.check_expected()
        if self.faults or self.now() > self._rests_by:
            return True
        if not writing.done() or self.now() < max(WRITING_SECONDS, self.story.s3_away[1]) or self._ends_again():
            return False
        return not self.oracles.unrest(self.database)

    def _ends_again(self) -> bool:
        return bool(self.story.crashes) or any(since > self.now() for since, _ in self.story.settings)

    def _inspect(self, opened: Any, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            if not task.done():
                self.broken(f"{task.get_name()} did not drain")
            elif task.exception() is not None:
                self.broken(f"{task.get_name()}: {task.exception()!r}")
        for name, pipeline in opened.destinations.items():
            context = pipeline.context
            held = context.memory.used + context.memory_of_small.used
            if held or context.slots.used:
                self.broken(f"{name}: {held} bytes and {context.slots.used} requests were never given back")
        limit = self.story.setting(self.moment).memory
        if self.account.most_in_flight > max(limit, THRESHOLD):
            self.broken(f"{self.account.most_in_flight} bytes were in flight, and the limit is {limit}")
