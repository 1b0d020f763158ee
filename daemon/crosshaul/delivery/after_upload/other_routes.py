"""Hold back the sources that another route, or another path of the same route, has yet to deliver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.delivery.after_upload.finishing import FinishResult
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.files.root import Root
from crosshaul.model import AfterAction, AfterTask, Fingerprint, State

Markers = Callable[[Root, Sequence[AfterTask]], Sequence[tuple[AfterTask, bytes, Fingerprint]]]


class AskedJournal(Protocol):
    """What is asked of the journal."""

    async def delivery_states(
        self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]
    ) -> list[State | None]:
        """Where each file is in a route; DELIVERED only in that very state, where one is given."""

    async def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """Paths at which the same files wait to be delivered."""


class OwnerPath(Protocol):
    """A path in a route that has to be delivered there."""

    @property
    def route(self) -> str:
        """The route's name."""

    @property
    def path(self) -> bytes:
        """Relative to the route's root."""

    @property
    def marked(self) -> bool:
        """It is another file, whose marker the one in question is."""


class RouteOwners(Protocol):
    """Who else has to have delivered a file."""

    @property
    def places(self) -> Sequence[OwnerPath]:
        """Where it is seen."""

    @property
    def following(self) -> Sequence[str]:
        """Routes in which a symlink may lead to it."""

    @property
    def unwalked(self) -> Sequence[str]:
        """Those of them whose symlinks are not known yet."""


class OwnershipLookup(Protocol):
    """Knows all routes."""

    def owners(self, own: Route, paths: Sequence[bytes]) -> Sequence[RouteOwners]:
        """Who else takes the files at ``paths`` (blocking)."""


@dataclass(slots=True)
class _Asked:
    """The other routes' places of one batch, gathered so that each route is one question."""

    places: dict[str, list[tuple[AfterTask, OwnerPath, Fingerprint | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    following: dict[str, list[AfterTask]] = field(default_factory=lambda: defaultdict(list))
    unwalked: list[tuple[AfterTask, str]] = field(default_factory=list)


class OtherRoutes:
    """Asks for the sources of one route."""

    def __init__(
        self, route: Route, journal: AskedJournal, threads: ThreadPool, ownership: OwnershipLookup, markers: Markers
    ) -> None:
        self._route = route
        self._journal = journal
        self._threads = threads
        self._ownership = ownership
        self._markers = markers

    async def waiting(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]:
        """Those of ``tasks`` that are not delivered everywhere, by id. Raises SourceError: the root is away."""
        if self._route.after_upload.action == "keep":
            return {}
        asked = await self._threads.run(self._ask, tasks)
        waiting = {task.id: _waits_for_walk(task, route) for task, route in asked.unwalked}
        for route, places in asked.places.items():
            states = await self._journal.delivery_states(route, [(place.path, print_) for _, place, print_ in places])
            for (task, place, _), state in zip(places, states, strict=True):
                if state is not State.DELIVERED:
                    waiting.setdefault(task.id, _waits(task, route, place.path, state))
        for route, linked in asked.following.items():
            twins = await self._journal.undelivered_paths(route, [task.fingerprint for task in linked])
            for task in linked:
                if task.fingerprint in twins and (route, twins[task.fingerprint]) != (task.route, task.path):
                    waiting.setdefault(task.id, _waits(task, route, twins[task.fingerprint], State.PENDING))
        return waiting

    def _ask(self, tasks: Sequence[AfterTask]) -> _Asked:
        asked, route = _Asked(), self._route
        with Root.open(route.path) as root:
            for task, owners in zip(tasks, self._ownership.owners(route, [task.path for task in tasks]), strict=True):
                for place in owners.places:
                    asked.places[place.route].append((task, place, None if place.marked else task.fingerprint))
                for name in owners.following:
                    asked.following[name].append(task)
                asked.unwalked += [(task, name) for name in owners.unwalked]
            marked = self._markers(root, tasks)
            paths = [path for _, path, _ in marked]
            for (task, _, print_), owners in zip(marked, self._ownership.owners(route, paths), strict=True):
                for place in owners.places:
                    if place.route != route.name and not place.marked:
                        asked.places[place.route].append((task, place, print_))
        return asked


def _waits(task: AfterTask, route: str, path: bytes, state: State | None) -> FinishResult:
    how = {
        None: "has not taken it up yet",
        State.QUARANTINED: "has set it aside",
        State.CHANGED: "has not delivered this state of it yet",
    }.get(state, "has not delivered it yet")
    at = "" if (route, path) == (task.route, task.path) or path == task.path else f" (there {printable(path)})"
    message = f"{printable(task.path)}: stays until route {route} has delivered it, too: it {how}{at}"
    return FinishResult(task, AfterAction.WAITING, Diagnosis(FaultKind.FILE, "OtherRoute", message))


def _waits_for_walk(task: AfterTask, route: str) -> FinishResult:
    message = f"{printable(task.path)}: stays until route {route}, whose symlinks may lead to it, has been walked"
    return FinishResult(task, AfterAction.WAITING, Diagnosis(FaultKind.FILE, "OtherRoute", message))
