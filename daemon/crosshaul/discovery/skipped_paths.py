"""Paths that scans skip: the first thousand are logged by name, once each, the others as a number."""

from __future__ import annotations

from collections.abc import Iterable

from crosshaul.discovery.scan_results import ScanProblem
from crosshaul.display import printable
from crosshaul.telemetry.logger import Logger

_MAX_NAMED = 1_000
_MAX_NAMED_BYTES = 1 << 20
"""Limits of the problems that are kept by name: their number, and the total length of paths and messages."""


class SkippedPaths:
    """The problems of the last scan, and those of hints since then."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._known: dict[bytes, ScanProblem] = {}
        self._scan: dict[bytes, ScanProblem] = {}
        self._bytes = 0
        self._unnamed = 0
        self._last_unnamed = 0

    @property
    def messages(self) -> list[str]:
        """Messages of the paths that could not be read."""
        return [problem.message for problem in self._known.values() if problem.unreadable]

    @property
    def unnamed(self) -> int:
        """Number of paths that are not kept by name."""
        return self._last_unnamed

    def add_scanned(self, problems: Iterable[ScanProblem]) -> None:
        """Add problems of a full scan; log new ones."""
        for problem in problems:
            if len(self._scan) >= _MAX_NAMED or self._bytes >= _MAX_NAMED_BYTES:
                self._unnamed += 1
                continue
            self._log_new(problem)
            self._scan[problem.path] = problem
            self._bytes += len(problem.path) + len(problem.message)

    def scan_finished(self) -> None:
        """End a full scan: problems that it did not find again are forgotten."""
        if self._unnamed and self._unnamed != self._last_unnamed:
            self._log.warning("paths_skipped", paths=self._unnamed, listed=len(self._scan))
        self._known, self._scan, self._bytes = self._scan, {}, 0
        self._last_unnamed, self._unnamed = self._unnamed, 0

    def add(self, problems: Iterable[ScanProblem]) -> None:
        """Add problems that were found outside a full scan; log new ones."""
        for problem in problems:
            if problem.path in self._known or len(self._known) < _MAX_NAMED:
                self._log_new(problem)
                self._known[problem.path] = problem

    def forget(self, directory: bytes) -> bool:
        """Forget a directory; return whether it was skipped, or may be one of the unnamed ones."""
        return self._known.pop(directory, None) is not None or bool(self._last_unnamed)

    def _log_new(self, problem: ScanProblem) -> None:
        if self._known.get(problem.path) != problem:
            self._log.warning("path_skipped", path=printable(problem.path), reason=problem.message)
