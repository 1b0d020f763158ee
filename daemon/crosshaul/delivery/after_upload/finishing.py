"""Finish a route's delivered files one by one, in a thread: delete, move or keep each, with its marker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from crosshaul.concurrency.clock import Clock
from crosshaul.config import Route
from crosshaul.delivery.after_upload import source_removal
from crosshaul.delivery.after_upload.delivered_file import ExpectedSource, Interrupted, RemovalGuard
from crosshaul.delivery.after_upload.unseen_writers import Leases, foreseen, leases_at, patience
from crosshaul.display import printable
from crosshaul.errors import (
    ContentChangedError,
    Diagnosis,
    FaultKind,
    FileChangedError,
    FileGoneError,
    FileInUseError,
    SourceError,
    WritersUnseenError,
)
from crosshaul.files import open_writers
from crosshaul.files.file_clock import ClockSteps
from crosshaul.files.marker import Marker
from crosshaul.files.move_target import MoveTarget
from crosshaul.files.own_paths import Identity, identity_of
from crosshaul.files.root import Root
from crosshaul.integrity.verify import whole_checksum
from crosshaul.model import AfterAction, AfterTask, Fingerprint, Receipt

_BYTES_AT_ONCE = 64 << 20
"""Bytes that are read again in one batch, roughly: what was done is written down in between."""
_MOUNTED_WITHIN_SECONDS = 600.0
"""How long after the start an empty root may still be one that is not mounted yet."""


class FinishResult(NamedTuple):
    """What became of a source, or why it stays."""

    task: AfterTask
    action: AfterAction | None
    """None: its time has not come yet."""
    diagnosis: Diagnosis | None = None
    again: bool = False
    """The file has to be sent again."""
    wait: float | None = None
    """Seconds until its time comes, where that is not so yet."""


class SourceRemover:
    """Acts on the sources of one route. Everything here blocks."""

    def __init__(self, route: Route, roots: Sequence[Path], interrupted: Callable[[], bool], clock: Clock) -> None:
        self.unseen: str | None = None
        """Why it could not be seen of some file who writes to it; the first that was met."""
        self._route = route
        self._roots = roots
        self._interrupted = interrupted
        self._target: MoveTarget | None = None
        self._marker = Marker(route.settle.marker) if route.settle.marker else None
        self._root: Identity | None = None
        """The root as it was when something was in it."""
        self._clock = clock
        self._steps = ClockSteps()
        self._leases = Leases()
        self._leases_of: Identity | None = None
        self._began: float | None = None

    def prepare(self) -> None:
        """Find ``move_to`` as the operator means it: later nobody may lead it elsewhere."""
        move_to = self._route.after_upload.move_to
        if move_to is not None and self._target is None:
            self._target = MoveTarget(move_to, self._roots)

    def foreseen(self) -> str | None:
        """Which writers won't be seen here, if any."""
        return foreseen(self._route.path, with_mounts=self._route.cross_filesystems)

    def begin(self) -> None:
        """A daemon starts, perhaps before its volumes are mounted."""
        self._began = self._clock.monotonic()
        self._note_time()

    def finish_all(self, tasks: Sequence[AfterTask]) -> list[FinishResult]:
        """Deal with as many of ``tasks`` as a batch may hold, one at least. Raises SourceError: the root is away."""
        if not tasks:
            return []
        self.prepare()
        results: list[FinishResult] = []
        writers = _Writers()
        self._note_time()
        with Root.open(self._route.path) as root:
            self._learn_leases(root)
            read = 0
            for task in tasks:
                try:
                    results.append(self._finish(root, task, self._guard(task, writers)))
                except Interrupted:
                    if not results:
                        raise
                    break
                read += task.fingerprint.size
                if read > _BYTES_AT_ONCE:
                    break
        return results

    def _learn_leases(self, root: Root) -> None:
        """Find out what leases tell here, once for each file system that is mounted there."""
        here = identity_of(os.fstat(root.descriptor))
        if here != self._leases_of:
            self._leases = leases_at(self._route.path, with_mounts=self._route.cross_filesystems)
            self._leases_of = here

    def _guard(self, task: AfterTask, writers: _Writers) -> RemovalGuard:
        may_go = self._patience_left(task) <= 0
        return RemovalGuard(writers.has_open, self._interrupted, self._leases, task.settled_by, unseen_may_go=may_go)

    def _patience_left(self, task: AfterTask) -> float:
        """Seconds that the source has to stay yet if its writers can't be seen, by our own clock and its steps."""
        delivered_at = task.receipt.delivered_at
        stepped = self._steps.since(int(delivered_at * 1e9))
        return delivered_at + patience(task.settled_by) + stepped - self._clock.now()

    def _note_time(self) -> None:
        self._steps.note(self._clock.monotonic(), int(self._clock.now() * 1e9))

    def markers(self, root: Root, tasks: Sequence[AfterTask]) -> list[tuple[AfterTask, bytes, Fingerprint]]:
        """The markers that are there of ``tasks``, which go with their files."""
        return list(self._markers(root, tasks))

    def _markers(self, root: Root, tasks: Sequence[AfterTask]) -> Iterator[tuple[AfterTask, bytes, Fingerprint]]:
        for task in tasks if self._marker is not None else ():
            if (found := self._marker_of(root, task)) is not None:
                yield task, *found

    def _marker_of(self, root: Root, task: AfterTask) -> tuple[bytes, Fingerprint] | None:
        if self._marker is None:
            return None
        path = self._marker.of(task.path)
        try:
            return path, Fingerprint.of(root.stat(path))
        except SourceError:
            return None

    def _finish(self, root: Root, task: AfterTask, guard: RemovalGuard) -> FinishResult:
        expected = ExpectedSource(task.path, task.fingerprint, whole_checksum(task.receipt), _stamp(task.receipt))
        try:
            return self._act(root, task, expected, guard)
        except FileGoneError as error:
            return self._gone(root, task, error)
        except ContentChangedError as error:
            return FinishResult(task, AfterAction.CHANGED, _diagnosis("ContentChanged", error), again=True)
        except FileChangedError as error:
            return FinishResult(task, AfterAction.CHANGED, _diagnosis("FileChanged", error))
        except WritersUnseenError as error:
            self.unseen = self.unseen or str(error)
            return FinishResult(task, None, _diagnosis("WritersUnseen", error), wait=self._patience_left(task))
        except FileInUseError as error:
            return FinishResult(task, AfterAction.WAITING, _diagnosis("FileInUse", error))
        except SourceError as error:
            return FinishResult(task, AfterAction.FAILED, _diagnosis("SourceKept", error))

    def _act(self, root: Root, task: AfterTask, expected: ExpectedSource, guard: RemovalGuard) -> FinishResult:
        if self._route.after_upload.action == "keep":
            source_removal.restore(root, expected)
            message = f"{printable(task.path)}: kept, since route {task.route} does not ask for more any longer"
            return FinishResult(task, AfterAction.KEPT, Diagnosis(FaultKind.FILE, "AfterUploadKeep", message))
        # Read before the file goes: a marker that is written after that is another file's.
        marker = self._marker_of(root, task)
        self._take(root, expected, guard)
        self._root = identity_of(os.fstat(root.descriptor))
        if marker is None:
            return FinishResult(task, AfterAction.DONE)
        try:
            self._take(root, ExpectedSource(*marker, None, expected.stamp), guard)
        except (FileGoneError, FileChangedError):
            return FinishResult(task, AfterAction.DONE)
        except SourceError as error:
            return FinishResult(task, AfterAction.DONE, _diagnosis("MarkerKept", error))
        return FinishResult(task, AfterAction.DONE)

    def _may_be_unmounted(self) -> bool:
        return self._began is not None and self._clock.monotonic() - self._began < _MOUNTED_WITHIN_SECONDS

    def _take(self, root: Root, expected: ExpectedSource, guard: RemovalGuard) -> None:
        if self._target is not None:
            source_removal.move(root, expected, self._target, guard)
        else:
            source_removal.delete(root, expected, guard)

    def _gone(self, root: Root, task: AfterTask, error: FileGoneError) -> FinishResult:
        """It is gone, unless the whole volume is: an empty directory may be the mount point that it left."""
        here = identity_of(os.fstat(root.descriptor))
        if not root.is_empty() or (self._root is None and not self._may_be_unmounted()):
            self._root = here
        if self._root == here:
            return FinishResult(task, AfterAction.GONE)
        message = f"{error}, nor is anything else in {self._route.path}: is it mounted?"
        return FinishResult(task, AfterAction.FAILED, Diagnosis(FaultKind.FILE, "SourceKept", message))


@dataclass(slots=True)
class _Writers:
    """Who has files open for writing, looked up once in a batch and only if no lease can be had."""

    seen: frozenset[Identity] | None = None

    def has_open(self, descriptor: int) -> bool:
        if self.seen is None:
            self.seen = open_writers.open_for_writing()
        return identity_of(os.fstat(descriptor)) in self.seen


def _stamp(receipt: Receipt) -> str:
    return datetime.fromtimestamp(receipt.delivered_at, UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _diagnosis(code: str, error: SourceError) -> Diagnosis:
    return Diagnosis(FaultKind.FILE, code, str(error))
