"""The deeds of programs in the watched directories: write, rename, append, keep files open, write markers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from crosshaul.discovery.watch import EventKind as Event
from simulation.disk import Disk, Node
from simulation.story import BACKLOG_FILES, FORBIDDEN, TOP, Kind, Story

_NAMES = ("a", "b", "c", "d/e", "d/f")


class Watched(Protocol):
    """The observer of the writers."""

    def now(self) -> float:
        """Return the loop's seconds."""

    def state(self, label: str, *, growing: bool = False) -> None:
        """Record a new state of the file; a growing one may be sent only if it stood still."""

    def note(self, what: str) -> None:
        """Record an event that no watcher receives."""

    def tell(self, path: bytes, event: Event, what: str) -> None:
        """Record an event of a path."""

    def expect(self, label: str, within: float) -> None:
        """Require that the file's present state is in the bucket within this many seconds."""


class Writers:
    """Carries out the story's deeds."""

    def __init__(self, story: Story, disk: Disk, watched: Watched) -> None:
        self._story = story
        self._disk = disk
        self._watched = watched
        self.writes = 0
        self._plan_theme()

    @property
    def _chance(self) -> random.Random:
        return self._story.chance

    def _plan_theme(self) -> None:
        story = self._story
        if story.theme == "forbidden":
            for number in range(self._chance.choice([1, 5, 40])):
                story.plan(10.0 + number * 0.05, self._writing(f"keep/{number}{FORBIDDEN}"))
        if story.theme == "outage":
            for number in range(BACKLOG_FILES):
                story.plan(3.0 + number * 0.01, self._writing(f"keep/backlog-{number}"))
        if story.theme == "hung":
            for number in range(BACKLOG_FILES):
                story.plan(story.hung[0] - 1.0, self._writing(f"{story.hung_folder}/hung-{number}"))
        for number, moment in enumerate(self._probes()):
            story.plan(moment, self._probing(number))

    def _probes(self) -> list[float]:
        """Write files now and then that nothing may delay."""
        story = self._story
        if story.theme == "forbidden":
            return [story.calm_at + seconds for seconds in (5.0, 15.0, 45.0, 100.0)]
        if story.theme == "hung":
            return [story.hung[0] + seconds for seconds in (5.0, 15.0)]
        return []

    def _writing(self, label: str) -> Callable[[], None]:
        return lambda: self._write(label)

    def _probing(self, number: int) -> Callable[[], None]:
        folder = "drop" if self._story.hung_folder == "keep" else "keep"

        def probe() -> None:
            self._write(f"{folder}/probe-{number}")
            self._watched.expect(f"{folder}/probe-{number}", 45.0)

        return probe

    # By chance

    def deed(self) -> None:
        """Do one thing that a writer does."""
        chance = self._chance
        kind = chance.choice(self._story.setting(self._watched.now()).kinds)
        label = f"{kind.folder}/{chance.choice(_NAMES)}"
        if kind.marker:
            self._marked(kind, label)
        else:
            self._unmarked(kind, label, chance.random())

    def _unmarked(self, kind: Kind, label: str, roll: float) -> None:
        keeps = kind.folder == "keep"
        if roll < 0.12 and keeps and self._there(label):
            self._disk.delete(_path(label))
            self._watched.tell(_path(label), Event.GONE, "deleted")
        elif roll < 0.25 and keeps and self._there(label):
            self._disk.rename(_path(label), _path(label + "2"))
            self._watched.state(label + "2")
            self._watched.tell(_path(label + "2"), Event.RENAMED, "renamed into place")
            self._watched.tell(_path(label), Event.GONE, "renamed away")
        elif roll < 0.45:
            self._place(label, self._fresh())
        elif roll < 0.55 and self._there(label):
            self._append(self._disk.find(_path(label)), self._fresh(), "appended to")
        elif roll < 0.70:
            self._hold(label)
        elif roll < 0.80 and self._story.theme in {"two clocks", "plain"}:
            self._grow(label)
        elif roll < 0.90 and self._there(label):
            self._touch_lightly(label, roll)
        else:
            self._write(label)

    def _place(self, label: str, data: bytes) -> None:
        draft = TOP + b"/draft"
        self._disk.write(draft, data)
        self._disk.rename(draft, _path(label))
        self._watched.state(label)
        self._watched.tell(_path(label), Event.RENAMED, "put in place")

    def _write(self, label: str) -> None:
        self._disk.write(_path(label), self._fresh())
        self._has_new_state(self._disk.find(_path(label)))
        self._watched.tell(_path(label), Event.APPEARED, "written")

    def _has_new_state(self, node: Node, *, growing: bool = False) -> list[bytes]:
        """Record the new state for each name of the file; return the names."""
        names = self._disk.names_of(node, TOP)
        for name in names:
            self._watched.state(name.decode(), growing=growing)
        return names

    def _append(self, node: Node, data: bytes, what: str, *, growing: bool = False) -> None:
        """Append, whatever names the file has now."""
        self._disk.append(node, data)
        for name in self._has_new_state(node, growing=growing):
            self._watched.tell(TOP + b"/" + name, Event.CHANGED, what)

    def _touch_lightly(self, label: str, roll: float) -> None:
        """Change the file's ctime, its names, or its bytes behind the same size and time. There is no event for it."""
        path, after = _path(label), self._watched.now() + self._chance.choice([0.5, 5.0, 12.0, 20.0])
        data = self._disk.find(path).data
        if roll < 0.83:
            self._story.plan(after, lambda: self._later(label, self._chmod))
        elif roll < 0.87:
            self._story.plan(after, lambda: self._later(label, self._link))
        elif data:
            self._story.plan(after, lambda: self._later(label, self._forge))

    def _later(self, label: str, deed: Callable[[str], None]) -> None:
        if self._there(label):
            deed(label)

    def _chmod(self, label: str) -> None:
        self._disk.chmod(_path(label))
        self._watched.note(f"{label} has another mode")

    def _link(self, label: str) -> None:
        self._disk.link(_path(label), _path(label + "-link"))
        self._watched.state(label + "-link")
        self._watched.note(f"{label}-link is another name of {label}")

    def _forge(self, label: str) -> None:
        node = self._disk.find(_path(label))
        data = (self._fresh() * 500)[: len(node.data)].ljust(len(node.data), b"~")
        self._disk.forge(_path(label), data)
        self._has_new_state(node)
        self._watched.note(f"{label} has other bytes under the same time")

    def _hold(self, label: str) -> None:
        """Write, keep the file open, pause for longer than ``quiet``, and write on."""
        self._write(label)
        node = self._disk.find(_path(label))
        node.writers += 1

        def go_on() -> None:
            node.writers -= 1
            self._append(node, b"<the rest>", "written on and closed")

        self._story.plan(self._watched.now() + self._chance.choice([0.3, 1.0, 3.0, 8.0]), go_on)

    def _grow(self, label: str) -> None:
        """Write in pieces, with pauses shorter than ``quiet``."""
        pieces = [self._watched.now() + 0.3 * number for number in range(1, self._chance.randint(3, 7))]
        self._disk.write(_path(label), self._fresh() or b"<begun>")
        node = self._disk.find(_path(label))
        self._has_new_state(node, growing=True)
        self._watched.tell(_path(label), Event.APPEARED, "begun")

        def piece(*, last: bool) -> Callable[[], None]:
            def grow() -> None:
                self._append(node, self._fresh() or b"<more>", "grown", growing=not last)

            return grow

        for at in pieces:
            self._story.plan(at, piece(last=at == pieces[-1]))

    def _marked(self, kind: Kind, label: str) -> None:
        """Write half, later the rest, and then the marker; an older marker may exist meanwhile."""
        self._disk.write(_path(label), b"<half of it>")
        self._watched.tell(_path(label), Event.APPEARED, "begun")
        self._story.plan(self._watched.now() + self._chance.choice([0.0, 0.7, 2.0]), lambda: self._finish(label))

    def _finish(self, label: str) -> None:
        self._disk.write(_path(label), self._fresh())
        self._watched.state(label)
        self._watched.tell(_path(label), Event.CHANGED, "finished")
        self._disk.write(_path(label + ".done"), b"")
        self._watched.tell(_path(label + ".done"), Event.APPEARED, "marked")

    def _there(self, label: str) -> bool:
        try:
            return self._disk.find(_path(label)).entries is None
        except FileNotFoundError:
            return False

    def _fresh(self) -> bytes:
        self.writes += 1
        size = self._chance.choice([0, 1, 40, 40, 100, 200, 300, 500])
        return (b"<%d>" % self.writes * (size // 3 + 1))[:size] if size else b""


def _path(label: str) -> bytes:
    return TOP + b"/" + label.encode()
