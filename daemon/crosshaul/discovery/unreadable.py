"""What could not be looked at, told once each; of a great many, the first ones by name and the others as a number."""

from __future__ import annotations

from collections.abc import Iterable

from crosshaul.discovery.scanner import ScanProblem
from crosshaul.display import printable
from crosshaul.telemetry.logger import Logger

_LISTED = 1_000
_LISTED_BYTES = 1 << 20
"""How many problems are kept by name, and how long their lines may be together."""


class UnreadablePaths:
    """The problems of the last scan, and what hints came by since."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._known: dict[bytes, ScanProblem] = {}
        self._found: dict[bytes, ScanProblem] = {}
        self._bytes = 0
        self._more = 0
        self._more_told = 0

    @property
    def messages(self) -> list[str]:
        """The lines of those that should have been looked at."""
        return [problem.message for problem in self._known.values() if problem.unreadable]

    @property
    def more(self) -> int:
        """How many are not kept by name."""
        return self._more_told

    def found(self, problems: Iterable[ScanProblem]) -> None:
        """Note what a scan of everything comes by; what was not there before is told."""
        for problem in problems:
            if len(self._found) >= _LISTED or self._bytes >= _LISTED_BYTES:
                self._more += 1
                continue
            self._tell(problem)
            self._found[problem.path] = problem
            self._bytes += len(problem.path) + len(problem.message)

    def scanned(self) -> None:
        """A scan of everything is over: what it did not come by is mended."""
        if self._more and self._more != self._more_told:
            self._log.warning("left_out_more", paths=self._more, listed=len(self._found))
        self._known, self._found, self._bytes = self._found, {}, 0
        self._more_told, self._more = self._more, 0

    def met(self, problems: Iterable[ScanProblem]) -> None:
        """Note what was met outside a scan of everything."""
        for problem in problems:
            if problem.path in self._known or len(self._known) < _LISTED:
                self._tell(problem)
                self._known[problem.path] = problem

    def mended(self, directory: bytes) -> bool:
        """Forget a directory that could not be read; whether there may have been one."""
        return self._known.pop(directory, None) is not None or bool(self._more_told)

    def _tell(self, problem: ScanProblem) -> None:
        if self._known.get(problem.path) != problem:
            self._log.warning("left_out", path=printable(problem.path), reason=problem.message)
