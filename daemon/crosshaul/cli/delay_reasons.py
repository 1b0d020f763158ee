"""The circumstances that hold up a file: its destination, its route, a missing daemon. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from crosshaul.cli.file_view import FileView, left_out_reason, when
from crosshaul.display import duration, moment
from crosshaul.model import DestinationState


def circumstances(view: FileView) -> Iterator[str]:
    """Yield a sentence for each circumstance that holds up the file."""
    left_out = left_out_reason(view)
    if left_out:
        yield f"With the present configuration it {left_out}"
    yield from _destination(view)
    yield from _route(view)
    if not view.daemon_running:
        yield "No daemon is running: start it (`crosshaul run`), or deliver once (`crosshaul push`)."


def _destination(view: FileView) -> Iterator[str]:
    status = view.destination
    if status is None:
        return
    error = status.last_error.line() if status.last_error else ""
    if status.state is DestinationState.PARKED:
        retry = f" One file is tried {when(status.retry_at, view.now)}." if status.retry_at else ""
        yield f"Destination {status.name} is parked: {error or 'it refuses all files.'}{retry}"
    elif error:
        yield f"Destination {status.name} reports: {error}"
    expire_at = status.credentials_expire_at
    if expire_at is not None and expire_at < view.now and view.daemon_running:
        yield f"The session for {status.name} expired at {moment(expire_at, view.now)} and could not be renewed."


def _route(view: FileView) -> Iterator[str]:
    status, route = view.watcher, view.route
    if view.paused:
        yield f"Route {route.name} is paused. To send its files: `crosshaul resume --route {route.name}`."
    if not view.daemon_running or status is None or status.watcher == "watching":
        return
    if status.watcher == "root missing":
        question = f"The directory of route {route.name}, {route.path}, is missing: is the volume mounted?"
        yield f"{question} Its pending files are kept."
    else:
        last_scan = f"; the last one ended at {moment(status.last_scan_at, view.now)}" if status.last_scan_at else ""
        scans = f"Scans run every {duration(route.rescan_interval)}{last_scan}."
        yield f"The watcher of route {route.name} reports: {status.watcher}. {scans}"
