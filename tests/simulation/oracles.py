"""The rules that must hold during a story and at its end."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from simulation.account import Account
from simulation.disk import Disk, Node
from simulation.story import FORBIDDEN, QUIET_SECONDS, TOP, Kind, Setting, Story

_CALLS_PER_SECOND, _COMMITS_PER_SECOND = 3.0, 6.0
"""In an outage, once it has been noticed."""
_NOTICED_SECONDS = 10.0
_UNFINISHED = "SELECT path, state, route FROM files WHERE state NOT IN ('delivered', 'quarantined', 'gone')"
_RECEIPTS = "SELECT route, path FROM files WHERE state = 'delivered'"


@dataclass
class _States:
    """Every state that a file had, with begin and end, and whether the file was growing."""

    began: dict[bytes, float] = field(default_factory=dict)
    ended: dict[bytes, float] = field(default_factory=dict)
    growing: set[bytes] = field(default_factory=set)
    last: bytes | None = None

    def has_prefix(self, data: bytes) -> bool:
        """Return whether a state begins with ``data``."""
        return any(state.startswith(data) for state in self.began)


class Oracles:
    """Observes all events; ``broken`` is called with each violation."""

    def __init__(
        self, story: Story, disk: Disk, account: Account, now: Callable[[], float], broken: Callable[[str], None]
    ) -> None:
        self._story = story
        self._disk = disk
        self._account = account
        self._now = now
        self._broken = broken
        self._states: dict[str, _States] = defaultdict(_States)
        self._expected: list[tuple[float, str, bytes]] = []
        self._commits: list[float] = []

    @property
    def _setting(self) -> Setting:
        return self._story.setting(self._now())

    # Events

    def state(self, label: str, *, growing: bool) -> None:
        """A file has a new state."""
        states, data = self._states[label], self._disk.find(_path(label)).data
        if states.last is not None:
            states.ended[states.last] = self._now()
        states.began[data], states.last = self._now(), data
        states.ended.pop(data, None)
        (states.growing.add if growing else states.growing.discard)(data)

    def expect(self, label: str, within: float) -> None:
        """Require that the present state is in the bucket by this time."""
        self._expected.append((self._now() + within, label, self._disk.find(_path(label)).data))

    def committed(self) -> None:
        """The journal wrote to its disk."""
        self._commits.append(self._now())

    def written(self, bucket: str, key: str, data: bytes, *, never_settled: bool) -> None:
        """Check a new object: it has to be a state of a file that this or an earlier configuration sends there.

        A file that never settled may arrive as a prefix: a rewrite before its upload can't be told from an append.
        """
        labels = {label for _, setting in self._story.settings if (label := setting.label(key)) is not None}
        states = [self._states[label] for label in labels if data in self._states[label].began]
        prefix = never_settled and any(self._states[label].has_prefix(data) for label in labels)
        if not states and not prefix:
            self._broken(f"{bucket}/{key} is torn: {data[:40]!r}")
        elif states and all(self._restless(one, data) for one in states):
            self._broken(f"{bucket}/{key} was sent while it was still growing: {data[:40]!r}")
        if self._setting.label(key) is None and len(self._story.settings) > 1:
            self._old_target(bucket, key)

    def _restless(self, states: _States, data: bytes) -> bool:
        stood = states.ended.get(data, self._now()) - states.began[data]
        return data in states.growing and stood < QUIET_SECONDS - 0.05

    def _old_target(self, bucket: str, key: str) -> None:
        since = self._story.settings[-1][0]
        if self._now() > since + 1.0 and not self._story.late_commits:
            self._broken(f"{bucket}/{key} was written {self._now() - since:.1f} s after the configuration changed")

    def leaving(self, node: Node) -> str:
        """Return why a source must not go: a route that selects it lacks its bytes, or a program writes to it."""
        labels = [label for label in self._states if self._node(label) is node]
        if node.writers:
            return f"{labels} left while a program had it open for writing"
        for label in labels:
            for kind in self._kinds(label):
                held = self._account.objects.get(self._setting.place(kind, label))
                if held is None or held.data != node.data:
                    return f"{label} left, and route {kind.name} has not its bytes in the bucket"
        return ""

    def check_expected(self) -> None:
        """Check that all expected states are in the bucket."""
        due = [one for one in self._expected if one[0] <= self._now()]
        self._expected = [one for one in self._expected if one[0] > self._now()]
        for _, label, data in due:
            for kind in self._kinds(label):
                held = self._account.objects.get(self._setting.place(kind, label))
                if held is None or held.data != data:
                    self._broken(f"{label} waits behind what is others' trouble")

    def check_outage(self) -> None:
        """Check that neither a silent store nor the journal gets too many calls."""
        start, end = self._story.s3_away
        seconds = end - start - _NOTICED_SECONDS
        if seconds <= 0:
            return
        epoch = self._account.now() - self._now()
        calls = sum(start + _NOTICED_SECONDS <= at - epoch < end for at in self._account.calls) / seconds
        commits = sum(start + _NOTICED_SECONDS <= at < end for at in self._commits) / seconds
        if calls > _CALLS_PER_SECOND:
            self._broken(f"{calls:.1f} calls a second while nothing answers")
        if commits > _COMMITS_PER_SECOND:
            self._broken(f"{commits:.1f} commits a second while nothing answers")

    # At rest

    def unrest(self, database: sqlite3.Connection) -> str:
        """Return what is not in its final state; empty at the end."""
        self._account.catch_up()
        forbidden = FORBIDDEN.encode()
        unfinished = [row for row in database.execute(_UNFINISHED).fetchall() if row[2] in self._setting.routes]
        busy = [row for row in unfinished if not bytes(row[0]).endswith(forbidden)]
        if busy:
            return f"not at rest: {busy}"
        if self._expected or self._account.late:
            return "there is something to come"
        for name, node in self._disk.nodes(_path("moved")).items():
            if node.unsent:
                return f"{name!r} was moved: {node.unsent}"
        for kind in self._setting.kinds:
            files = self._disk.files(_path(kind.folder))
            for name, data in files.items():
                if not self._arrived(kind, name.decode(), data, files):
                    return f"{kind.name}: {name!r} is not in the bucket in its last state"
        return self._unfounded(database)

    def _arrived(self, kind: Kind, name: str, data: bytes, files: dict[bytes, bytes]) -> bool:
        label = f"{kind.folder}/{name}"
        if not kind.takes(label) or name.endswith(FORBIDDEN):
            return True
        held = self._account.objects.get(self._setting.place(kind, label))
        if kind.action != "keep" and not self._blocked(kind, label):
            return False  # it is still there
        if kind.marker and name.encode() + b".done" not in files:
            return True
        if kind.overwrite == "never":
            return held is not None
        return held is not None and held.data == data

    def _blocked(self, kind: Kind, label: str) -> bool:
        """True if a source stays for a reason of its own."""
        node = self._node(label)
        return bool(node and node.writers) or (kind.marker is not None and label not in self._states)

    def _unfounded(self, database: sqlite3.Connection) -> str:
        """Return receipts for a place that did not give them."""
        kinds = {kind.name: kind for kind in self._setting.kinds}
        for route, path in database.execute(_RECEIPTS):
            label = f"{kinds[route].folder}/{bytes(path).decode()}" if route in kinds else ""
            if label and self._node(label) and kinds[route].takes(label):
                place = self._setting.place(kinds[route], label)
                if place not in self._account.objects:
                    return f"the journal has {label} as delivered, and {place} never was"
        return ""

    def _kinds(self, label: str) -> list[Kind]:
        return [kind for kind in self._setting.kinds if kind.takes(label)]

    def _node(self, label: str) -> Node | None:
        try:
            return self._disk.find(_path(label))
        except FileNotFoundError:
            return None


def _path(label: str) -> bytes:
    return TOP + b"/" + label.encode()
