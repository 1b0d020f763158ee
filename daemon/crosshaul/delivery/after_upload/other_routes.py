"""Keep the sources that another route, or another path of the same route, has not delivered yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Route
from crosshaul.delivery.after_upload.batch_finisher import FinishResult
from crosshaul.display import printable
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.files.root import Root
from crosshaul.model import AfterAction, AfterTask, Fingerprint, State

Markers = Callable[[Root, Sequence[AfterTask]], Sequence[tuple[AfterTask, bytes, Fingerprint]]]


class OtherRoutesJournal(Protocol):
    """The part of the journal that knows the deliveries of other routes."""

    async def delivery_states(
        self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]
    ) -> list[State | None]:
        """Return each file's state in a route; DELIVERED only for the given fingerprint, if one is given."""

    async def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """Return paths at which the same files are not delivered yet."""


class OwnerPath(Protocol):
    """A path in another route that has to be delivered there."""

    @property
    def route(self) -> str:
        """The route's name."""

    @property
    def path(self) -> bytes:
        """Relative to the route's root."""

    @property
    def marked(self) -> bool:
        """True if the path is another file's, of which the file in question is the marker."""


class RouteOwners(Protocol):
    """The other routes that have to deliver a file."""

    @property
    def places(self) -> Sequence[OwnerPath]:
        """The file's paths in other routes."""

    @property
    def following(self) -> Sequence[str]:
        """Routes in which a symlink may lead to the file."""

    @property
    def unscanned(self) -> Sequence[str]:
        """Those of ``following`` that have not been scanned yet."""


class OwnershipLookup(Protocol):
    """Finds the routes that a file belongs to."""

    def owners(self, own: Route, paths: Sequence[bytes]) -> Sequence[RouteOwners]:
        """Return the other routes of the files at ``paths``. Blocking."""


@dataclass(slots=True)
class _OwnerQueries:
    """The paths of a batch in other routes, grouped so that each route takes one query."""

    places: dict[str, list[tuple[AfterTask, OwnerPath, Fingerprint | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    following: dict[str, list[AfterTask]] = field(default_factory=lambda: defaultdict(list))
    unscanned: list[tuple[AfterTask, str]] = field(default_factory=list)


class OtherRoutes:
    """Checks the sources of one route."""

    def __init__(
        self,
        route: Route,
        journal: OtherRoutesJournal,
        threads: ThreadPool,
        ownership: OwnershipLookup,
        markers: Markers,
    ) -> None:
        self._route = route
        self._journal = journal
        self._threads = threads
        self._ownership = ownership
        self._markers = markers

    async def waiting(self, tasks: Sequence[AfterTask]) -> dict[int, FinishResult]:
        """Return the tasks that are not delivered everywhere, by id. Raises SourceError if the root is missing."""
        if self._route.after_upload.action == "keep":
            return {}
        queries = await self._threads.run(self._collect, tasks)
        waiting = {task.id: _waits_for_scan(task, route) for task, route in queries.unscanned}
        for route, places in queries.places.items():
            states = await self._journal.delivery_states(
                route, [(place.path, fingerprint) for _, place, fingerprint in places]
            )
            for (task, place, _), state in zip(places, states, strict=True):
                if state is not State.DELIVERED:
                    waiting.setdefault(task.id, _waits(task, route, place.path, state))
        for route, linked in queries.following.items():
            paths = await self._journal.undelivered_paths(route, [task.fingerprint for task in linked])
            for task in linked:
                if task.fingerprint in paths and (route, paths[task.fingerprint]) != (
                    task.route,
                    task.path,
                ):
                    waiting.setdefault(task.id, _waits(task, route, paths[task.fingerprint], State.PENDING))
        return waiting

    def _collect(self, tasks: Sequence[AfterTask]) -> _OwnerQueries:
        queries, route = _OwnerQueries(), self._route
        with Root.open(route.path) as root:
            for task, owners in zip(tasks, self._ownership.owners(route, [task.path for task in tasks]), strict=True):
                for place in owners.places:
                    queries.places[place.route].append((task, place, None if place.marked else task.fingerprint))
                for name in owners.following:
                    queries.following[name].append(task)
                queries.unscanned += [(task, name) for name in owners.unscanned]
            marked = self._markers(root, tasks)
            paths = [path for _, path, _ in marked]
            for (task, _, fingerprint), owners in zip(marked, self._ownership.owners(route, paths), strict=True):
                for place in owners.places:
                    if place.route != route.name and not place.marked:
                        queries.places[place.route].append((task, place, fingerprint))
        return queries


def _waits(task: AfterTask, route: str, path: bytes, state: State | None) -> FinishResult:
    how = {
        None: "has not queued it yet",
        State.QUARANTINED: "has quarantined it",
        State.CHANGED: "has not delivered this state of it yet",
    }.get(state, "has not delivered it yet")
    at = "" if (route, path) == (task.route, task.path) or path == task.path else f" (as {printable(path)})"
    message = f"{printable(task.path)}: kept until route {route} has delivered it too: the route {how}{at}"
    return FinishResult(task, AfterAction.WAITING, Diagnosis(FaultKind.FILE, "OtherRoute", message))


def _waits_for_scan(task: AfterTask, route: str) -> FinishResult:
    message = f"{printable(task.path)}: kept until route {route}, whose symlinks may lead to it, has been scanned"
    return FinishResult(task, AfterAction.WAITING, Diagnosis(FaultKind.FILE, "OtherRoute", message))
