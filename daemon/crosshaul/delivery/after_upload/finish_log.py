"""Log what happens to a route's sources: kept, changed or waiting ones at each doubling, per reason."""

from __future__ import annotations

from collections import defaultdict

from crosshaul.concurrency.clock import Clock
from crosshaul.config import Route
from crosshaul.delivery.after_upload.batch_finisher import FinishResult
from crosshaul.delivery.after_upload.writer_visibility import RULE
from crosshaul.display import printable
from crosshaul.model import AfterAction, AfterTask
from crosshaul.telemetry.failure_streak import FailureStreak
from crosshaul.telemetry.logger import Logger

RETRIED = frozenset({AfterAction.FAILED, AfterAction.WAITING})
_MIN_LOGGED_WAIT_SECONDS = 5.0
"""A source that waits for another route is logged after this time: routes seldom finish at the same moment."""
_OBJECTS_UNSEEN = (
    "whether an older request replaced a delivered object can't be checked, and the store is not known to honour "
    "If-Match: allow the role s3:GetObject, unless the partner removes what arrives"
)


class FinishLog:
    """The log of one route's sources."""

    def __init__(self, route: Route, log: Logger, clock: Clock) -> None:
        self._route = route
        self._log = log
        self._clock = clock
        self._streaks: dict[str, FailureStreak] = defaultdict(FailureStreak)
        self._warned: set[str] = set()

    def overdue_seconds(self, task: AfterTask) -> float:
        """Return how long ago the source was due."""
        return self._clock.now() - task.receipt.delivered_at - self._route.after_upload.grace

    def result(self, result: FinishResult) -> None:
        """Log a source that was not finished; a finished one is not logged."""
        if result.diagnosis is None or result.action is None:
            return
        path, reason = printable(result.task.path), result.diagnosis.message
        if result.send_again:
            self._log.warning("source_differs", route=self._route.name, path=path, reason=reason)
        elif result.action is AfterAction.WAITING:
            long = self.overdue_seconds(result.task) > _MIN_LOGGED_WAIT_SECONDS
            if long and (times := self._count(result)):
                self._log.info("source_waits", route=self._route.name, path=path, reason=reason, times=times)
        elif times := self._count(result):
            action, route = result.action, self._route.name
            self._log.warning("source_kept", route=route, path=path, action=action, reason=reason, times=times)

    def nothing_overdue(self) -> None:
        """Log that no source is overdue any more, if some were."""
        if tries := sum(streak.ended() for streak in self._streaks.values()):
            self._streaks.clear()
            self._log.info("sources_caught_up", route=self._route.name, tries=tries)

    def writers_may_be_unseen(self, hint: str) -> None:
        """Log that some writers can't be seen in this tree, before the first source is removed."""
        root = str(self._route.path)
        self._log.info("writers_may_be_unseen", route=self._route.name, root=root, hint=f"{hint}; {RULE}")

    def writers_unseen(self, reason: str) -> None:
        """Log once that a file's writers could not be seen."""
        if self._is_first("writers"):
            self._log.warning("writers_unseen", route=self._route.name, reason=reason, hint=RULE)

    def objects_unseen(self) -> None:
        """Log once that the role can't look at delivered objects."""
        if self._is_first("objects"):
            self._log.warning("objects_unseen", route=self._route.name, hint=_OBJECTS_UNSEEN)

    def _is_first(self, warning: str) -> bool:
        first = warning not in self._warned
        self._warned.add(warning)
        return first

    def _count(self, result: FinishResult) -> int:
        """Count the result; return the number of results with the same reason if it is to be logged, else 0."""
        if result.diagnosis is None or result.action not in RETRIED:
            return 1
        reason = result.diagnosis.message.replace(printable(result.task.path), "")
        streak = self._streaks[reason]
        return streak.length if streak.failed() else 0
