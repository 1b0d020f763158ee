"""One seed's story: writers, lives cut short, faults that end; and what must hold during it and at its rest."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crosshaul import (
    app,
    delivered_file,
    house,
    intake,
    model,
    move_target,
    open_files,
    ownership,
    removal,
    removing,
    scan,
    source,
    upload,
)
from crosshaul.aws import identity
from crosshaul.config import AfterUpload, Config, Destination, Retry, Route, Settle
from crosshaul.config import Transfer as TransferConfig
from crosshaul.file_clock import FileClock
from crosshaul.journal import store
from crosshaul.watch import Kind
from simulation import journal
from simulation.account import Account, Chain, Control, Wire
from simulation.disk import Disk, DiskOs, Node
from simulation.loop import VirtualClock, VirtualLoop

_TOP = b"/simulated"
_WRITING = 25.0
_TROUBLE = 40.0
_PATIENCE = 360.0
"""Seconds after the last trouble in which everything has to come to rest."""
_PART, _THRESHOLD, _MEMORY = 64, 150, 256
KINDS = ("drop", "move", "never", "marked")


class Broken(AssertionError):
    """Something that must hold did not."""


class Quiet:
    """Takes the place of log and metrics; what is a bug of ours is not let pass."""

    def __init__(self, world: World) -> None:
        self._world = world

    def bind(self, **_: object) -> Quiet:
        return self

    def error(self, event: str, **facts: object) -> None:
        if event in {"unexpected_error", "service_failed"}:
            self._world.broken(f"{event}: {facts}")

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Watcher:
    """Hears what happens on the disk late, or not at all; seldom knows that it did not."""

    def __init__(self, world: World, root: Path, listener: Any) -> None:
        self._world = world
        self._prefix = bytes(root) + b"/"
        self._listener = listener

    def entering(self, directory: bytes, descriptor: int) -> None: ...

    def walked(self) -> None: ...

    async def run(self) -> None:
        self._listener.watcher_is("watching")
        self._listener.rescan()
        self._world.watchers.append(self)
        try:
            await asyncio.Event().wait()
        finally:
            self._world.watchers.remove(self)

    def happened(self, path: bytes, kind: Kind) -> None:
        """Tell, by chance."""
        chance = self._world.chance
        roll = chance.random()
        if not path.startswith(self._prefix) or roll < 0.15:
            return
        loop = asyncio.get_running_loop()
        if roll < 0.2:
            loop.call_later(chance.random(), self._listener.lost, 1)
        else:
            loop.call_later(chance.random() * 0.05, self._listener.heard, path.removeprefix(self._prefix), kind)


class World:
    """Everything that outlives a life, and what is found wrong."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        random.seed(seed)
        self.moment = 0.0
        self.trace: list[str] = []
        self.faults: list[str] = []
        self.watchers: list[Watcher] = []
        self.states: dict[str, set[bytes]] = defaultdict(set)
        """Key -> every state that its file ever had."""
        self.disk = Disk(lambda: VirtualClock.EPOCH + self.now() + self.skew())
        self.database = journal.fresh()
        self.account = Account(self.chance, lambda: VirtualClock.EPOCH + self.now(), self._written, self.broken, 0.0)
        self.account.skew = self.skew
        self.account.calm_at = VirtualClock.EPOCH + _TROUBLE
        self.loop: VirtualLoop | None = None
        self._kept: list[object] = []
        self._writes = 0
        self._skews: list[tuple[float, float]] = []
        self.roots = ("keep", self.chance.choice(KINDS))
        shared = self.roots[1] in _AFTER and self.chance.random() < 0.5
        self.routes = (*self.roots, "copy") if shared else self.roots
        """``copy`` takes the same files as the second."""
        for route in self.roots:
            self.disk.make(_TOP + b"/" + route.encode())
        self.disk.make(_TOP + b"/moved")
        self._plan()

    def now(self) -> float:
        return self.loop.moment if self.loop is not None else self.moment

    def skew(self) -> float:
        """By how much the machine's clock is wrong now, in seconds."""
        return next((wrong for at, wrong in reversed(self._skews) if at <= self.now()), 0.0)

    def note(self, what: str) -> None:
        self.trace.append(f"{self.now():9.4f} {what}")

    def broken(self, what: str) -> None:
        """Something that must not be."""
        self.note(f"BROKEN: {what}")
        self.faults.append(what)

    def counts(self) -> Counter[str]:
        """What the story was made of."""
        killed = sum(line.endswith(" kill -9") for line in self.trace)
        again = sum(held.writes - 1 for held in self.account.objects.values())
        counts = {
            "kills": killed,
            "writes": self._writes,
            "faults": self.account.faulted,
            "objects": len(self.account.objects),
        }
        return Counter(counts | {"written over": again})

    # The story

    def _plan(self) -> None:
        chance, epoch = self.chance, VirtualClock.EPOCH
        self.deeds = sorted(chance.random() * _WRITING for _ in range(chance.randint(4, 14)))
        self.crashes = sorted(chance.random() * _TROUBLE * 1.2 for _ in range(chance.choice([0, 0, 1, 1, 2, 3])))
        if chance.random() < 0.3:
            start = epoch + chance.random() * 30
            self.account.refusing = (start, start + chance.random() * 15)
        if chance.random() < 0.3:
            start = epoch + chance.random() * 30
            self.account.sts_away = (start, start + chance.choice([chance.random() * 90, 900.0]))
        if chance.random() < 0.3:
            jumps = [
                (chance.random() * 50, chance.choice([-86400.0, -1200.0, -300.0, 300.0, 1200.0, 86400.0])) for _ in "ab"
            ]
            self._skews = [*sorted(jumps), (60.0, 0.0)]
        self._rests_by = max(_TROUBLE, self.account.sts_away[1] - epoch) + _PATIENCE

    def deed(self) -> None:
        """What a writer does."""
        chance = self.chance
        route = chance.choice(self.roots)
        name = chance.choice([b"a", b"b", b"c", b"d/e", b"d/f"])
        path = _TOP + b"/" + route.encode() + b"/" + name
        roll = chance.random()
        if roll < 0.15 and route == "keep" and self._there(path):
            self.disk.delete(path)
            self._tell(path, Kind.GONE, "deleted")
        elif roll < 0.3 and route == "keep" and self._there(path):
            target = path + b"2"
            self.disk.rename(path, target)
            self._happened(target, Kind.RENAMED, "renamed into place")
            self._tell(path, Kind.GONE, "renamed away")
        elif roll < 0.5:
            self.disk.write(_TOP + b"/draft", self._fresh())
            self.disk.rename(_TOP + b"/draft", path)
            self._happened(path, Kind.RENAMED, "put in place")
        elif roll < 0.6 and self._there(path):
            self.disk.write(path, self.disk.find(path).data + self._fresh())
            self._happened(path, Kind.CHANGED, "appended to")
        else:
            self.disk.write(path, self._fresh())
            self._happened(path, Kind.APPEARED, "written")
        if route == "marked":
            self.disk.write(path + b".done", b"")
            self._tell(path + b".done", Kind.APPEARED, "marked")

    def _there(self, path: bytes, *, folder: bool = False) -> bool:
        try:
            return (self.disk.find(path).entries is not None) is folder
        except FileNotFoundError:
            return False

    def _fresh(self) -> bytes:
        self._writes += 1
        size = self.chance.choice([0, 1, 40, 40, 100, 200, 300, 500])
        return (b"<%d>" % self._writes * (size // 3 + 1))[:size] if size else b""

    def _happened(self, path: bytes, kind: Kind, what: str) -> None:
        key = path.removeprefix(_TOP + b"/").decode()
        for each in (key, self._copy_of(key)) if "copy" in self.routes else (key,):
            self.states[each].add(self.disk.find(path).data)
        self._tell(path, kind, what)

    def _tell(self, path: bytes, kind: Kind, what: str) -> None:
        self.note(f"{path.decode()} {what}")
        for watcher in self.watchers:
            watcher.happened(path, kind)

    # Oracles while it goes

    def _written(self, key: str, data: bytes) -> None:
        self.note(f"S3 has {key}, {len(data)} bytes")
        if data not in self.states[key]:
            self.broken(f"{key} is torn: {data[:40]!r}")

    def _reading(self) -> None:
        if self.deeds and self.chance.random() < 0.03:
            self.deeds.pop(0)
            self.deed()

    def _leaving(self, node: Node) -> str:
        keys = [key for key in self.states if self._node_of(key) is node]
        self.note(f"the source of {keys} goes")
        for key in keys:
            held = self.account.objects.get(key)
            if held is None or held.data != node.data:
                return f"{key} left the source without its bytes being in the bucket"
        return ""

    def _identity(self, path: Any) -> tuple[int, int] | None:
        name = os.fsencode(path)
        return (1, self.disk.find(name).inode) if name.startswith(_TOP) and self._there(name, folder=True) else None

    def _copy_of(self, key: str) -> str:
        """The key of the same file in the route ``copy``."""
        route, _, name = key.partition("/")
        return f"copy/{name}" if route == self.roots[1] else key

    def _node_of(self, key: str) -> Node | None:
        if key.startswith("copy/"):
            key = f"{self.roots[1]}/{key.removeprefix('copy/')}"
        path = _TOP + b"/" + key.encode()
        return self.disk.find(path) if self._there(path) else None

    # Oracles at rest

    def unrest(self) -> str:
        """What is not as it has to be in the end; empty at rest."""
        for name, node in self.disk.nodes(_TOP + b"/moved").items():
            if node.unsent:
                return f"{name} was moved: {node.unsent}"
        query = "SELECT path, state FROM files WHERE state IN ('pending', 'uploading', 'settling')"
        if busy := self.database.execute(query).fetchall():
            return f"not at rest: {busy}"
        for route in self.routes:
            files = self.disk.files(_TOP + b"/" + (self.roots[1] if route == "copy" else route).encode())
            if missing := [name for name, data in files.items() if not self._arrived(route, name, data, files)]:
                return f"{route}: {missing} is not in the bucket in its last state"
        return ""

    def _arrived(self, route: str, name: bytes, data: bytes, files: dict[bytes, bytes]) -> bool:
        held = self.account.objects.get(f"{route}/{name.decode()}")
        if route in {"drop", "move", "copy"}:
            return False  # it is still there
        if name.endswith(b".done") or (route == "marked" and name + b".done" not in files):
            return True
        if route == "never":
            return held is not None
        return held is not None and held.data == data

    # Lives

    def run(self) -> None:
        """Live until it rests; raises Broken."""
        with ExitStack() as patches:
            self._patch(patches)
            while not self._life():
                if self.faults or self.moment > self._rests_by:
                    break
        if not self.faults and (unrest := self.unrest()):
            self.broken(unrest)
        if self.faults:
            raise Broken(self.faults[0])

    def _patch(self, patches: ExitStack) -> None:
        quiet, disk_os = Quiet(self), DiskOs(self.disk, self._reading, self._leaving, self.broken)
        journal.TurnWriter.chance = self.chance
        for owner, name, stand_in in (
            (scan, "os", disk_os),
            (scan, "file_clock_at", lambda _: FileClock(ours=True, multigrain=True, keeps_inodes=True)),
            (source, "os", disk_os),
            (removal, "os", disk_os),
            (removing, "os", disk_os),
            (delivered_file, "os", disk_os),
            (removal, "rename_at_once", disk_os.rename_at_once),
            (removal, "rename_noreplace", disk_os.rename_noreplace),
            (delivered_file.Lease, "take", lambda _: None),
            (open_files, "open_for_writing", frozenset),
            (move_target, "os", disk_os),
            (ownership, "identity_at", self._identity),
            (source, "_MAPPED", 1 << 40),
            (upload, "_ASK_FROM", 100),
            (model, "LARGE", _PART),  # the journal's queries keep the real number: files change sides after the claim
            (house, "LARGE", _PART),
            (app, "Metrics", lambda: quiet),
            (app, "Chain", lambda _: Chain(self.account)),
            (app, "Control", lambda _, refresher, __: Control(self.account, refresher)),
            (app, "_wire", lambda *_: lambda _: Wire(self.account)),
            (app.logs, "get", lambda _: quiet),
            (identity, "conceal", lambda *_: None),
            (intake, "Watcher", lambda root, listener, *_: Watcher(self, root, listener)),
            (store, "_open", journal.opener(self.database)),
            (store, "Writer", journal.TurnWriter),
        ):
            patches.enter_context(patch.object(owner, name, stand_in))

    def _life(self) -> bool:
        """Run until rest (True) or until a crash."""
        self.loop = loop = VirtualLoop(self.moment, self.chance)
        loop.set_exception_handler(self._surprised)
        self.watchers.clear()
        self.account.in_flight = self.account.most_in_flight = 0
        self.note("a life begins")
        asyncio.set_event_loop(loop)
        if self.crashes:
            loop.call_at(max(self.crashes.pop(0), self.moment + 0.01), loop.stop)
        living = loop.create_task(self._live())
        try:
            loop.run_until_complete(living)
            return True
        except RuntimeError as error:
            if "stopped before" not in str(error):
                raise
            self.note("kill -9")
            return False
        finally:
            # What was cut off stays as it is until the end: nothing of a dead process runs.
            self._kept.append((living, asyncio.all_tasks(loop)))
            self.moment, self.loop = loop.moment + 0.5, None
            if living.done():
                loop.close()
            else:
                self._kept.append(loop)

    def _surprised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback of the simulation itself failed; what tasks raise is for those who wait for them."""
        if "handle" in context:
            self.broken(f"{context['message']}: {context.get('exception')!r}")

    async def _live(self) -> None:
        assert self.loop is not None
        stop, writing = asyncio.Event(), asyncio.create_task(self._write())
        async with app.opened(
            config(self.routes), config(self.routes).routes, VirtualClock(self.loop, self.skew)
        ) as opened:
            services = [*opened.carriers(), *opened.helpers()]
            tasks = [asyncio.create_task(service.run(stop), name=service.name) for service in services]
            while not self._over(tasks, writing):
                await asyncio.sleep(1.0)
            stop.set()
            await asyncio.wait(tasks, timeout=60)
            self._inspect(opened, tasks)

    async def _write(self) -> None:
        while self.deeds:
            await asyncio.sleep(max(0.0, self.deeds[0] - self.now()))
            if self.deeds and self.deeds[0] <= self.now():
                self.deeds.pop(0)
                self.deed()

    def _over(self, tasks: list[asyncio.Task[None]], writing: asyncio.Task[None]) -> bool:
        for task in tasks:
            if task.done():
                self.broken(f"{task.get_name()} ended: {task.exception() if not task.cancelled() else 'cancelled'}")
        if self.faults or self.now() > self._rests_by:
            return True
        return writing.done() and self.now() > _WRITING and not self.crashes and not self.unrest()

    def _inspect(self, opened: Any, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            if not task.done():
                self.broken(f"{task.get_name()} did not drain")
            elif task.exception() is not None:
                self.broken(f"{task.get_name()}: {task.exception()!r}")
        for name, lane in opened.lanes.items():
            means = lane.transfer._means
            held = means.memory.used + means.memory_of_small.used
            if held or means.slots.used:
                self.broken(f"{name}: {held} bytes and {means.slots.used} requests were never given back")
        if self.account.most_in_flight > max(_MEMORY, _THRESHOLD):
            self.broken(f"{self.account.most_in_flight} bytes were in flight, and the limit is {_MEMORY}")


def config(routes: tuple[str, ...]) -> Config:
    """A small configuration: parts of some bytes, and pauses of seconds."""
    if routes not in _CONFIGS:
        destination = Destination(
            name="partner", bucket="bucket", region="us-east-1", role_arn="arn:aws:iam::222222222222:role/r",
            external_id="an-external-id",
        )  # fmt: skip
        sizes = TransferConfig(max_concurrency=4).model_copy(
            update={"part_size": _PART, "multipart_threshold": _THRESHOLD, "memory_limit": _MEMORY}
        )
        _CONFIGS[routes] = Config.model_construct(
            state_dir=Path("/simulated-state"),
            identity=Config.model_fields["identity"].default,
            destinations={"partner": destination},
            routes=tuple(_route(name, routes[1] if name == "copy" else name) for name in routes),
            transfer=sizes,
            retry=Retry(initial=0.5, max=8.0),
            shutdown_timeout=30.0,
        )
    return _CONFIGS[routes]


_CONFIGS: dict[tuple[str, ...], Config] = {}
_AFTER = {
    "drop": AfterUpload(action="delete"),
    "move": AfterUpload(action="move", move_to=Path("/simulated/moved")),
}


def _route(name: str, root: str) -> Route:
    quiet = 2.0 if name == "copy" else 0.5
    settle = Settle(marker="{path}.done") if name == "marked" else Settle(quiet=quiet, max_wait=5.0)
    return Route(
        name=name, path=Path("/simulated") / root, destination="partner", key="{route}/{path}", settle=settle,
        rescan_interval=10.0, overwrite="never" if name == "never" else "always",
        after_upload=_AFTER.get(name, AfterUpload()),
    )  # fmt: skip
