"""The known state of one local path, and sentences that several explanations share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from os import stat_result
from typing import TYPE_CHECKING

from crosshaul.display import duration, moment
from crosshaul.model import DestinationStatus, Fingerprint, Record, RouteStatus

if TYPE_CHECKING:
    from crosshaul.config import Route


@dataclass(frozen=True, slots=True)
class FileView:
    """All that is known of one path at ``now`` (Unix time)."""

    path: str
    """Absolute, printable."""
    url: str
    """The object's address, by the journal; empty if unknown."""
    new_url: str
    """The object's address by the present configuration; empty if that is ``url``."""
    route: Route
    record: Record | None
    destination: DestinationStatus | None
    watcher: RouteStatus | None
    daemon_running: bool
    stat: stat_result | None
    """Of the link itself, where the route skips links; None = no such file."""
    left_out: bool
    """By the route's patterns."""
    paused: bool
    """The route, by an operator."""
    now: float

    @property
    def is_changed(self) -> bool:
        """True if the file differs from the state in the journal."""
        return (
            self.stat is not None and self.record is not None and Fingerprint.of(self.stat) != self.record.fingerprint
        )


def settling_reason(view: FileView) -> str:
    """Say why the watcher has not queued the file yet."""
    settle = view.route.settle
    if settle.marker:
        return f"It waits for its marker (settle.marker: {settle.marker}), which must not be older than the file."
    unchanged = view.now - max(view.stat.st_mtime, view.stat.st_ctime) if view.stat else 0.0
    if unchanged < settle.quiet:
        changed = f"it changed {duration(unchanged)} ago"
        return f"It is settling: {changed} and must stay unchanged for {duration(settle.quiet)} (settle.quiet)."
    hashing = ", unless it is being read for its key ({sha256})" if "{sha256}" in view.route.key else ""
    return f"It has been unchanged for {duration(unchanged)}, and the next scan queues it{next_scan(view)}{hashing}."


def next_scan(view: FileView) -> str:
    """Say when the next scan is due; empty if that is unknown."""
    status = view.watcher
    if not view.daemon_running or status is None or status.last_scan_at is None:
        return ""
    return f", {when(status.last_scan_at + view.route.rescan_interval, view.now)} at the latest"


def left_out_reason(view: FileView) -> str:
    """Say which patterns leave the file out; empty if none does."""
    if not view.left_out:
        return ""
    include, exclude = (", ".join(patterns) for patterns in (view.route.include, view.route.exclude))
    return f"is left out by the patterns of route {view.route.name} (include: {include}; exclude: {exclude or 'none'})."


def when(at: float, now: float) -> str:
    """Return a moment to come as a time and a span."""
    return "now" if at <= now else f"at {moment(at, now)} (in {duration(at - now)})"
