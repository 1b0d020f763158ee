"""The plan that a seed decides: routes, the deeds of writers, and the faults of account and disk."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from crosshaul.config import AfterUploadConfig, Config, Destination, RetryConfig, Route, SettleConfig, TransferConfig

TOP = b"/simulated"
WRITING_SECONDS = 25.0
TROUBLE_SECONDS = 40.0
QUIET_SECONDS = 0.5
PART, THRESHOLD, MEMORY = 64, 150, 256
BACKLOG_FILES = 60
FORBIDDEN = ".exe"
EXCLUDED = "c*"

_PLACES = ("keep", "drop", "move", "never", "marked", "marked-drop")
THEMES = ("plain", "plain", "plain", "shared", "shared", "retargeted", "forbidden", "outage", "hung", "two clocks")


@dataclass(frozen=True)
class Kind:
    """A route of the story: the directory it watches, what its keys begin with, the outcome of its sources."""

    name: str
    folder: str
    head: str
    destination: str = "partner"
    action: str = "keep"
    marker: str | None = None
    overwrite: str = "always"
    quiet: float = QUIET_SECONDS
    exclude: tuple[str, ...] = ()

    def label(self, key: str) -> str | None:
        """The file that a key of this route is of: its path below the top."""
        return f"{self.folder}/{key.removeprefix(self.head)}" if key.startswith(self.head) else None

    def takes(self, label: str) -> bool:
        """True if the file belongs to this route."""
        folder, _, path = label.partition("/")
        if folder != self.folder or (self.marker and label.endswith(".done")):
            return False
        return not (self.exclude and path.rpartition("/")[2].startswith("c"))


@dataclass(frozen=True)
class Setting:
    """The configuration of some lives: the routes, the bucket of each destination, what its keys begin with."""

    kinds: tuple[Kind, ...]
    buckets: tuple[tuple[str, str], ...] = (("partner", "bucket"),)
    prefix: str = ""
    longest_pause: float = 8.0
    memory: int = MEMORY

    @property
    def routes(self) -> tuple[str, ...]:
        """The names of the routes."""
        return tuple(kind.name for kind in self.kinds)

    def place(self, kind: Kind, label: str) -> tuple[str, str]:
        """Return the bucket and key of a route's file."""
        _, _, path = label.partition("/")
        return dict(self.buckets)[kind.destination], f"{self.prefix}{kind.head}{path}"

    def label(self, key: str) -> str | None:
        """The file that a key is of; None for a key that no route of this configuration gives."""
        if not key.startswith(self.prefix):
            return None
        return next((found for kind in self.kinds if (found := kind.label(key.removeprefix(self.prefix)))), None)

    @lru_cache(maxsize=1000)  # noqa: B019 - the settings are few, and made of a seed's story
    def config(self) -> Config:
        """Return the configuration: parts of some bytes, and pauses of seconds."""
        sizes = TransferConfig(max_concurrency=4).model_copy(
            update={"part_size": PART, "multipart_threshold": THRESHOLD, "memory_limit": self.memory}
        )
        return Config.model_construct(
            state_dir=Path("/simulated-state"),
            identity=Config.model_fields["identity"].default,
            destinations={name: _destination(name, bucket, self.prefix) for name, bucket in self.buckets},
            routes=tuple(_route(kind) for kind in self.kinds),
            transfer=sizes,
            retry=RetryConfig(initial=0.5, max=self.longest_pause),
            shutdown_timeout=30.0,
        )


def _destination(name: str, bucket: str, prefix: str) -> Destination:
    return Destination(
        name=name, bucket=bucket, region="us-east-1", role_arn="arn:aws:iam::222222222222:role/r",
        external_id="an-external-id", key_prefix=prefix,
    )  # fmt: skip


_AFTER = {
    "keep": AfterUploadConfig(),
    "delete": AfterUploadConfig(action="delete"),
    "move": AfterUploadConfig(action="move", move_to=Path("/simulated/moved")),
}


def _route(kind: Kind) -> Route:
    settle = SettleConfig(marker=kind.marker) if kind.marker else SettleConfig(quiet=kind.quiet, max_wait=5.0)
    return Route(
        name=kind.name, path=Path("/simulated") / kind.folder, destination=kind.destination, key=kind.head + "{path}",
        settle=settle, rescan_interval=10.0, overwrite=kind.overwrite, after_upload=_AFTER[kind.action],
        exclude=kind.exclude,
    )  # fmt: skip


def _kind(name: str) -> Kind:
    action = {"drop": "delete", "move": "move", "marked-drop": "delete"}.get(name, "keep")
    marker = "{path}.done" if name.startswith("marked") else None
    overwrite = "never" if name == "never" else "always"
    return Kind(name, name, f"{name}/", action=action, marker=marker, overwrite=overwrite)


@dataclass
class Story:
    """The plan of one seed. Times are seconds of the loop."""

    chance: random.Random
    theme: str = ""
    settings: list[tuple[float, Setting]] = field(default_factory=list)
    """From when each configuration is in force; another one begins with another life."""
    crashes: list[float] = field(default_factory=list)
    refusing: tuple[float, float] = (0.0, 0.0)
    """While the role may do nothing."""
    sts_away: tuple[float, float] = (0.0, 0.0)
    s3_away: tuple[float, float] = (0.0, 0.0)
    """While nothing answers."""
    hung: tuple[float, float] = (0.0, 0.0)
    """While the directory ``hung_folder`` doesn't answer."""
    hung_folder: str = ""
    skews: list[tuple[float, float]] = field(default_factory=list)
    """From when our clock is wrong, and by how much."""
    disk_offset: float = 0.0
    """By how much the clock of the disk (a file server's) differs from ours."""
    late_commits: bool = False
    """A front end passes some requests on long after they were given up."""
    _deeds: list[tuple[float, int, Callable[[], None] | None]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, chance: random.Random) -> Story:
        """Draw a story."""
        story = cls(chance, chance.choice(THEMES))
        story._draw_settings()
        story._draw_troubles()
        for _ in range(chance.randint(4, 14)):
            story.plan(chance.random() * WRITING_SECONDS)
        return story

    def setting(self, now: float) -> Setting:
        """The configuration in force."""
        return next(setting for since, setting in reversed(self.settings) if since <= now)

    def plan(self, at: float, deed: Callable[[], None] | None = None) -> None:
        """Plan a deed at a time; None stands for a random one."""
        heapq.heappush(self._deeds, (at, next(self._numbers), deed))

    @property
    def next_deed(self) -> float | None:
        """Return the time of the next deed."""
        return self._deeds[0][0] if self._deeds else None

    def pop(self, *, early: bool = False) -> Callable[[], None] | None:
        """Remove and return the next deed; ``early`` only a random one, because begun deeds keep their pace."""
        if early and self._deeds[0][2] is not None:
            return None
        return heapq.heappop(self._deeds)[2] or _BY_CHANCE

    @property
    def calm_at(self) -> float:
        """Return the end of the last fault."""
        ends = (self.sts_away[1], self.s3_away[1], self.hung[1], self.refusing[1])
        return max(TROUBLE_SECONDS, *ends, *(at for at, _ in self.skews), *(since for since, _ in self.settings))

    def _draw_settings(self) -> None:
        chance = self.chance
        kinds = [_kind("keep"), _kind(chance.choice(_PLACES[1:]))]
        buckets: tuple[tuple[str, str], ...] = (("partner", "bucket"),)
        if self.theme == "shared":
            first = _kind(chance.choice(["drop", "move"]))
            second = Kind(
                "twin", first.folder, "twin/", chance.choice(["partner", "second"]),
                action=chance.choice(["keep", "delete"]), quiet=chance.choice([QUIET_SECONDS, 3.0]),
                exclude=chance.choice([(), (EXCLUDED,)]),
            )  # fmt: skip
            kinds, buckets = [_kind("keep"), first, second], (("partner", "bucket"), ("second", "second-bucket"))
        if self.theme in {"forbidden", "outage", "hung"}:
            kinds = [_kind("keep"), _kind("drop")]
        longest = 300.0 if self.theme == "forbidden" else 8.0
        memory = 16 * MEMORY if self.theme == "hung" else MEMORY  # what is stuck gives it back after seconds only
        self.settings = [(0.0, Setting(tuple(kinds), buckets, longest_pause=longest, memory=memory))]
        if self.theme == "retargeted":
            self.settings.append((5.0 + chance.random() * 30.0, self._changed(self.settings[0][1])))

    def _changed(self, before: Setting) -> Setting:
        """Return another configuration for the same directories."""
        kinds = before.kinds
        match self.chance.choice(["bucket", "prefix", "exclude", "renamed", "key"]):
            case "bucket":
                return Setting(kinds, (("partner", "another-bucket"),), before.prefix)
            case "prefix":
                return Setting(kinds, before.buckets, "keep/")
            case "exclude":
                return Setting((_with(kinds[0], exclude=(EXCLUDED,)), *kinds[1:]), before.buckets)
            case "renamed":
                return Setting((_with(kinds[0], name="kept"), *kinds[1:]), before.buckets)
            case _:
                return Setting((_with(kinds[0], head="elsewhere/"), *kinds[1:]), before.buckets)

    def _draw_troubles(self) -> None:
        chance = self.chance
        self.crashes = sorted(chance.random() * TROUBLE_SECONDS * 1.2 for _ in range(chance.choice([0, 0, 1, 1, 2, 3])))
        self.late_commits = chance.random() < 0.2
        if self.theme in {"forbidden", "outage", "hung"}:
            self._draw_theme()
            return
        if chance.random() < 0.3:
            self.refusing = _span(chance.random() * 30, chance.random() * 15)
        if chance.random() < 0.3:
            self.sts_away = _span(chance.random() * 30, chance.choice([chance.random() * 90, 900.0]))
        if self.theme == "two clocks":
            self.disk_offset = chance.choice([-30.0, -5.0, -1.0, 2.0, 30.0])
        elif chance.random() < 0.3 and not any(kind.marker for kind in self.settings[0][1].kinds):
            # Only the disk's clock tells a marker from an older file: a clock that is set back is not supported.
            jumps = [
                (chance.random() * 50, chance.choice([-86400.0, -1200.0, -300.0, 300.0, 1200.0, 86400.0])) for _ in "ab"
            ]
            self.skews = [*sorted(jumps), (60.0, 0.0)]

    def _draw_theme(self) -> None:
        chance = self.chance
        if self.theme == "outage":
            self.crashes = []
            self.s3_away = _span(6.0, 60.0)
        if self.theme == "hung":
            self.hung_folder = chance.choice(["keep", "drop"])
            self.hung = _span(chance.random() * 20, 60.0 + chance.random() * 60)


def _with(kind: Kind, **changes: object) -> Kind:
    return Kind(**{**kind.__dict__, **changes})


def _span(start: float, seconds: float) -> tuple[float, float]:
    return start, start + seconds


def _BY_CHANCE() -> None:  # noqa: N802 - a mark, told from other deeds by identity
    """A deed that is chosen at random."""


def by_chance(deed: Callable[[], None]) -> bool:
    """True if a deed is chosen at random."""
    return deed is _BY_CHANCE
