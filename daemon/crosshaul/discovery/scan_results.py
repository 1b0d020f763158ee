"""Results of a scan, and of a stat of single paths."""

from __future__ import annotations

from dataclasses import dataclass, field

from crosshaul.model import Sighting


@dataclass(frozen=True, slots=True)
class ScanProblem:
    """A path that was skipped, and a message of one line that says why and what to do."""

    path: bytes
    message: str
    unreadable: bool = False
    """It could not be read, rather than being skipped by a rule."""


@dataclass(slots=True)
class ScanBatch:
    """A part of the results of a scan."""

    sightings: list[Sighting] = field(default_factory=list)
    problems: list[ScanProblem] = field(default_factory=list)


@dataclass(slots=True)
class PathStats:
    """The results of a stat of single paths."""

    sightings: list[Sighting] = field(default_factory=list)
    directories: list[bytes] = field(default_factory=list)
    markers: list[bytes] = field(default_factory=list)
    absent: list[bytes] = field(default_factory=list)
    excluded: list[bytes] = field(default_factory=list)
    """Existing files that the route does not select."""
    problems: list[ScanProblem] = field(default_factory=list)

    @property
    def without_file(self) -> list[bytes]:
        """Paths without a file: absent ones and directories."""
        return [*self.absent, *self.directories]

    @property
    def unwanted(self) -> list[bytes]:
        """Existing files that are not delivered: excluded ones and markers."""
        return [*self.excluded, *self.markers]
