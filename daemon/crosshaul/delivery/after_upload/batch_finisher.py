"""Finish a batch of a route's delivered files: delete, move or keep each, together with its marker. Blocking."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from crosshaul.concurrency.clock import Clock
from crosshaul.config import Route
from crosshaul.delivery.after_upload import source_removal
from crosshaul.delivery.after_upload.markers_to_remove import SourceMarkers
from crosshaul.delivery.after_upload.source_verification import ExpectedSource, Interrupted, RemovalGuard
from crosshaul.delivery.after_upload.writer_visibility import Leases, keep_seconds, leases_at
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
from crosshaul.files.move_target import MoveTarget
from crosshaul.files.own_paths import Identity, identity_of
from crosshaul.files.root import Root
from crosshaul.integrity.verify import whole_checksum
from crosshaul.model import AfterAction, AfterTask, Receipt

_BATCH_BYTES = 64 << 20
"""Bytes that are read again in one batch, roughly: the journal is updated between batches."""
_MOUNTED_WITHIN_SECONDS = 600.0
"""Time after the start in which an empty root may be a volume that is not mounted yet."""


class FinishResult(NamedTuple):
    """The result for one source."""

    task: AfterTask
    action: AfterAction | None
    """None: the source is not due yet."""
    diagnosis: Diagnosis | None = None
    send_again: bool = False
    """True if the file has to be sent again."""
    due_in: float | None = None
    """Seconds until the source is due, if it is not due yet."""


class BatchFinisher:
    """Deletes or moves the sources of one route."""

    def __init__(self, route: Route, roots: Sequence[Path], interrupted: Callable[[], bool], clock: Clock) -> None:
        self.unseen: str | None = None
        """The reason why the writers of a file could not be seen; of the first such file."""
        self._route = route
        self._roots = roots
        self._interrupted = interrupted
        self._target: MoveTarget | None = None
        self.markers = SourceMarkers(route)
        self._root: Identity | None = None
        """The root's identity when it last contained a file."""
        self._clock = clock
        self._steps = ClockSteps()
        self._leases = Leases()
        self._leases_root: Identity | None = None
        self._started_at: float | None = None

    def prepare(self) -> None:
        """Resolve ``move_to`` now: a later symlink must not redirect it."""
        move_to = self._route.after_upload.move_to
        if move_to is not None and self._target is None:
            self._target = MoveTarget(move_to, self._roots)

    def start(self) -> None:
        """Note the start of the daemon: its volumes may not be mounted yet."""
        self._started_at = self._clock.monotonic()
        self._note_time()

    def finish_all(self, tasks: Sequence[AfterTask]) -> list[FinishResult]:
        """Finish as many of ``tasks`` as fit a batch, at least one. Raises SourceError if the root is missing."""
        if not tasks:
            return []
        self.prepare()
        results: list[FinishResult] = []
        writers = _Writers()
        self._note_time()
        with Root.open(self._route.path) as root:
            self._update_leases(root)
            read = 0
            for task in tasks:
                try:
                    results.append(self._finish(root, task, self._guard(task, writers)))
                except Interrupted:
                    if not results:
                        raise
                    break
                read += task.fingerprint.size
                if read > _BATCH_BYTES:
                    break
        return results

    def _update_leases(self, root: Root) -> None:
        """Find out what leases tell in the tree, once per file system that is mounted at the root."""
        here = identity_of(os.fstat(root.descriptor))
        if here != self._leases_root:
            self._leases = leases_at(self._route.path, with_mounts=self._route.cross_filesystems)
            self._leases_root = here

    def _guard(self, task: AfterTask, writers: _Writers) -> RemovalGuard:
        expired = self._seconds_kept(task) <= 0
        return RemovalGuard(writers.has_open, self._interrupted, self._leases, task.settled_by, unseen_may_go=expired)

    def _seconds_kept(self, task: AfterTask) -> float:
        """Return for how long the source is still kept if its writers can't be seen, corrected for clock steps."""
        delivered_at = task.receipt.delivered_at
        stepped = self._steps.since(int(delivered_at * 1e9))
        return delivered_at + keep_seconds(task.settled_by) + stepped - self._clock.now()

    def _note_time(self) -> None:
        self._steps.note(self._clock.monotonic(), int(self._clock.now() * 1e9))

    def _finish(self, root: Root, task: AfterTask, guard: RemovalGuard) -> FinishResult:
        expected = ExpectedSource(task.path, task.fingerprint, whole_checksum(task.receipt), _stamp(task.receipt))
        try:
            return self._finish_one(root, task, expected, guard)
        except FileGoneError as error:
            return self._gone(root, task, error)
        except ContentChangedError as error:
            return FinishResult(task, AfterAction.CHANGED, _diagnosis("ContentChanged", error), send_again=True)
        except FileChangedError as error:
            return FinishResult(task, AfterAction.CHANGED, _diagnosis("FileChanged", error))
        except WritersUnseenError as error:
            self.unseen = self.unseen or str(error)
            return FinishResult(task, None, _diagnosis("WritersUnseen", error), due_in=self._seconds_kept(task))
        except FileInUseError as error:
            return FinishResult(task, AfterAction.WAITING, _diagnosis("FileInUse", error))
        except SourceError as error:
            return FinishResult(task, AfterAction.FAILED, _diagnosis("SourceKept", error))

    def _finish_one(self, root: Root, task: AfterTask, expected: ExpectedSource, guard: RemovalGuard) -> FinishResult:
        if self._route.after_upload.action == "keep":
            source_removal.restore(root, expected)
            message = f"{printable(task.path)}: kept, because route {task.route} keeps its sources now"
            return FinishResult(task, AfterAction.KEPT, Diagnosis(FaultKind.FILE, "AfterUploadKeep", message))
        # Look for the marker before the removal: a marker that is written later belongs to another file.
        marker = self.markers.find(root, task)
        self._remove(root, expected, guard)
        self._root = identity_of(os.fstat(root.descriptor))
        if marker is None:
            return FinishResult(task, AfterAction.DONE)
        try:
            self._remove(root, ExpectedSource(*marker, None, expected.stamp), guard)
        except (FileGoneError, FileChangedError):
            return FinishResult(task, AfterAction.DONE)
        except SourceError as error:
            return FinishResult(task, AfterAction.DONE, _diagnosis("MarkerKept", error))
        return FinishResult(task, AfterAction.DONE)

    def _may_be_unmounted(self) -> bool:
        return self._started_at is not None and self._clock.monotonic() - self._started_at < _MOUNTED_WITHIN_SECONDS

    def _remove(self, root: Root, expected: ExpectedSource, guard: RemovalGuard) -> None:
        if self._target is not None:
            source_removal.move(root, expected, self._target, guard)
        else:
            source_removal.delete(root, expected, guard)

    def _gone(self, root: Root, task: AfterTask, error: FileGoneError) -> FinishResult:
        """Return GONE, or FAILED if the whole volume may be missing: an empty root may be an unmounted mount point."""
        here = identity_of(os.fstat(root.descriptor))
        if not root.is_empty() or (self._root is None and not self._may_be_unmounted()):
            self._root = here
        if self._root == here:
            return FinishResult(task, AfterAction.GONE)
        message = f"{error}, and {self._route.path} is empty: is the volume mounted?"
        return FinishResult(task, AfterAction.FAILED, Diagnosis(FaultKind.FILE, "SourceKept", message))


@dataclass(slots=True)
class _Writers:
    """The files that are open for writing; looked up at most once per batch, and only if leases don't tell."""

    seen: frozenset[Identity] | None = None

    def has_open(self, descriptor: int) -> bool:
        if self.seen is None:
            self.seen = open_writers.open_for_writing()
        return identity_of(os.fstat(descriptor)) in self.seen


def _stamp(receipt: Receipt) -> str:
    return datetime.fromtimestamp(receipt.delivered_at, UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _diagnosis(code: str, error: SourceError) -> Diagnosis:
    return Diagnosis(FaultKind.FILE, code, str(error))
