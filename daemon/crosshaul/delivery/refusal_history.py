"""Remember which files a destination has refused, to tell a refusal of one file from a refusal of all. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_RECENT_SECONDS = 600.0
"""Within this time, a success after a file's refusal means that the refusal may concern the file alone."""
_MAX_REMEMBERED_FILES = 10_000


@dataclass(slots=True)
class _Refusals:
    """The refusals of one file."""

    first_at: float
    uncounted: int = 0
    """Refusals that were not counted as the file's attempts."""
    file_specific: bool = False
    """True if other files succeeded after this one was refused, and it was refused again."""


class RefusalHistory:
    """The files that were refused and have not succeeded since, by record id. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.files: dict[int, _Refusals] = {}

    def add(self, file: int, now: float) -> None:
        """Record a refusal that does not count as the file's attempt."""
        known = self.files.get(file)
        if known is None:
            if len(self.files) >= _MAX_REMEMBERED_FILES:
                del self.files[next(iter(self.files))]
            known = self.files[file] = _Refusals(now)
        known.uncounted += 1

    def take_uncounted(self, file: int) -> int:
        """Return the number of refusals of ``file`` that were not counted, and count them from now on."""
        known = self.files.get(file)
        if known is None:
            return 0
        count, known.uncounted = known.uncounted, 0
        return count

    def is_file_specific(self, file: int, now: float, others_at: float) -> bool:
        """Return whether other files, the last at ``others_at``, succeeded after an earlier refusal of this file."""
        known = self.files.get(file)
        if known is not None and known.first_at < others_at and now - others_at <= _RECENT_SECONDS:
            known.file_specific = True
        return known is not None and known.file_specific
