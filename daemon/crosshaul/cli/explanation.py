"""Why a file is, or is not yet, in the bucket: told from the facts, like a colleague would. Pure."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from os import stat_result
from shlex import quote
from typing import TYPE_CHECKING

from crosshaul.display import count, duration, moment, ordinal, size
from crosshaul.model import (
    AfterAction,
    ChecksumKind,
    DestinationState,
    DestinationStatus,
    Fingerprint,
    Receipt,
    Record,
    RouteStatus,
    SettleReason,
    State,
)

if TYPE_CHECKING:
    from crosshaul.config import Route


@dataclass(frozen=True, slots=True)
class FileView:
    """All that is known of one path at ``now`` (seconds since the epoch)."""

    path: str
    """Absolute, fit to be shown."""
    url: str
    """Where it is to go, or lies; empty if unknown."""
    goes_to: str
    """Where the configuration has it go by now; empty if that is there."""
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
    """The route, at run time."""
    now: float


def tell(scene: FileView) -> list[str]:
    """The story, the most important line first; each line is a sentence or two."""
    record = scene.record
    if record is None:
        return list(_unknown(scene))
    told = _TELLERS[record.state](scene, record)
    lines = [f"{scene.path} {next(told)}", *told]
    if record.settled_by is SettleReason.CEILING:
        waited = duration(scene.route.settle.max_wait)
        lines.append(
            f"It was taken while it was still changing, since it never stood still within max_wait ({waited}): "
            "what goes, or went, is a state that it really had, but perhaps not a finished one."
        )
    if scene.goes_to and scene.stat is not None and not scene.left_out:
        lines.append(
            f"The configuration has it go to {scene.goes_to} now: it is sent there "
            f"when the daemon next looks at it{_next_scan(scene)}."
        )
    if record.state is not State.DELIVERED or _is_changed(scene, record):
        lines += _circumstances(scene)
    return lines


def _unknown(scene: FileView) -> Iterator[str]:
    """What the journal has never seen."""
    why_never = _why_never(scene)
    if why_never:
        yield f"{scene.path} {why_never}"
        return
    yield f"{scene.path} is not in the journal yet. {_settling(scene)}"
    yield from _circumstances(scene)


def _why_never(scene: FileView) -> str:
    """What keeps this path from ever being delivered as it is; empty if nothing does."""
    route = scene.route
    if scene.stat is None:
        return f"does not exist, and the journal has never seen it (route {route.name})."
    mode = scene.stat.st_mode
    if stat.S_ISDIR(mode):
        return "is a directory: the files in it are delivered; ask for one of them."
    if stat.S_ISLNK(mode):
        return f"is a symbolic link, and route {route.name} skips those (symlinks: skip)."
    if not stat.S_ISREG(mode):
        return "is not a regular file, and only those are delivered."
    return _left_out(scene)


def _left_out(scene: FileView) -> str:
    if not scene.left_out:
        return ""
    include, exclude = (", ".join(patterns) for patterns in (scene.route.include, scene.route.exclude))
    return (
        f"is left out by the patterns of route {scene.route.name} (include: {include}; exclude: {exclude or 'none'})."
    )


def _settling(scene: FileView) -> str:
    """Why the watcher has not handed it on."""
    settle = scene.route.settle
    if settle.marker:
        return f"It waits for its marker (settle.marker: {settle.marker}), which must not be older than the file."
    still = scene.now - max(scene.stat.st_mtime, scene.stat.st_ctime) if scene.stat else 0.0
    if still < settle.quiet:
        return f"It waits: it changed {duration(still)} ago and has to stand still for {duration(settle.quiet)}."
    rest = f"It has stood still for {duration(still)}"
    reading = ", unless it is being read for its key ({sha256})" if "{sha256}" in scene.route.key else ""
    return f"{rest}, and is taken up when the daemon next looks at it{_next_scan(scene)}{reading}."


def _next_scan(scene: FileView) -> str:
    """When that is at the latest."""
    status = scene.watcher
    if not scene.daemon_running or status is None or status.last_scan_at is None:
        return ""
    return f", {_when(status.last_scan_at + scene.route.rescan_interval, scene.now)} at the latest"


def _delivered(scene: FileView, record: Record) -> Iterator[str]:
    receipt = record.receipt
    if receipt is None:
        yield f"was delivered at {moment(record.changed_at, scene.now)} as {scene.url}."
        return
    at = moment(receipt.delivered_at, scene.now)
    yield f"was delivered at {at} as {scene.url}: {receipt.size:,} bytes, {_proof(receipt)}."
    details = {"ETag": receipt.etag, "version": receipt.version_id, "request id": receipt.request_id}
    yield "S3's receipt: " + ", ".join(f"{name} {value}" for name, value in details.items() if value) + "."
    yield from _after(scene, record)


def _proof(receipt: Receipt) -> str:
    if receipt.proven_by == "existing":
        return "which was there already (overwrite: never)"
    if receipt.checksum is None:
        proof = "confirmed by S3"
    elif receipt.checksum.kind is ChecksumKind.MD5:
        proof = "checked by S3 against its MD5 on arrival"
    else:
        proof = f"proven by S3's own {receipt.checksum.kind} ({receipt.checksum.value})"
    return (
        f"{proof}; the answer got lost, and S3 showed the object when asked" if receipt.proven_by == "head" else proof
    )


def _after(scene: FileView, record: Record) -> Iterator[str]:
    """What became of the local file, or will."""
    rule = scene.route.after_upload
    done = f"moved to {rule.move_to}" if rule.action == "move" else "deleted"
    if record.after_action is AfterAction.DONE:
        yield f"The local file was then {done}."
    elif record.after_action in {AfterAction.FAILED, AfterAction.WAITING}:
        how = f"could not be {done}" if record.after_action is AfterAction.FAILED else f"is not {done} yet"
        yield f"The local file {how}" + (f": {record.diagnosis.line()}" if record.diagnosis else ".")
        if record.after_due_at is not None:
            yield f"That is tried again {_when(record.after_due_at, scene.now)}."
    elif record.after_action is AfterAction.KEPT:
        yield "The local file was kept, because the route kept its files when its time came."
    elif record.after_action is AfterAction.CHANGED:
        yield f"The local file was not {done}, because it had changed meanwhile."
    elif record.after_due_at is not None:
        yield f"The local file will be {done} {_when(record.after_due_at, scene.now)}."
    elif scene.stat is None:
        yield "The local file is gone since; the object stays."
    if _is_changed(scene, record):
        yield f"The file has changed since, and goes again. {_settling(scene)}"


def _is_changed(scene: FileView, record: Record) -> bool:
    return scene.stat is not None and Fingerprint.of(scene.stat) != record.fingerprint


def _pending(scene: FileView, record: Record) -> Iterator[str]:
    due = record.due_at <= scene.now
    if scene.goes_to:
        yield f"waited to go to {scene.url}, and is judged anew before it is sent."
        return
    if record.diagnosis is None:
        waited = duration(scene.now - record.changed_at)
        yield f"is at rest and waits for its turn to go to {scene.url} (for {waited} now)."
    else:
        when = "as soon as there is a turn" if due else _when(record.due_at, scene.now)
        if record.attempts:
            yield f"is tried again {when}: the {ordinal(record.attempts + 1)} try, to {scene.url}."
        else:
            yield f"is tried again {when}, to {scene.url}. No try is counted, since others failed alike."
        yield f"Last error: {record.diagnosis.line()}"
    yield from _half_sent(record)
    yield from _meanwhile(scene, record)


def _half_sent(record: Record) -> Iterator[str]:
    if record.multipart:
        parts = max(1, -(-record.fingerprint.size // max(1, record.multipart.part_size)))
        sent = f"{size(record.multipart.sent)} of {size(record.fingerprint.size)}"
        done = f"{len(record.multipart.parts):,} of its {count(parts, 'part')} ({sent})"
        yield f"{done} are in the bucket already; only the rest is still to be sent."
    if record.ambiguous:
        yield "An earlier try may have succeeded unheard: S3 is asked before it is sent again."


def _meanwhile(scene: FileView, record: Record) -> Iterator[str]:
    """What became of the local file while it waited."""
    if scene.watcher is not None and scene.watcher.watcher == "root missing":
        return
    if scene.stat is None:
        yield "The local file is gone since, so it can't be sent any more: the daemon notes that at its turn."
    elif _is_changed(scene, record):
        yield "It has changed since: what goes is its new state, once that has come to rest."


def _uploading(scene: FileView, record: Record) -> Iterator[str]:
    since = moment(record.changed_at, scene.now)
    if scene.daemon_running:
        yield f"has been on its way to {scene.url} for {duration(scene.now - record.changed_at)} (since {since})."
    else:
        yield f"was being sent to {scene.url} at {since} when the daemon ended; it goes on at the next start."
    yield from _half_sent(record)


def _at_rest_again(scene: FileView, _record: Record) -> Iterator[str]:
    yield f"had changed when it was to be sent, and has to come to rest again. {_settling(scene)}"


def _quarantined(scene: FileView, record: Record) -> Iterator[str]:
    at = moment(record.changed_at, scene.now)
    why = record.diagnosis.line() if record.diagnosis else "no reason was kept."
    tries = f" after the {ordinal(record.attempts)} try" if record.attempts else ", untried"
    yield f"was set aside (quarantined) at {at}{tries}: {why}"
    if scene.stat is None:
        yield "The local file is gone since."
    elif _is_changed(scene, record):
        yield f"It has changed since, and is judged anew. {_settling(scene)}"
    else:
        again = f"`crosshaul retry {quote(scene.path)}`"
        yield f"When the cause is cured, {again} puts it back in the queue; so does changing the file."


def _gone(scene: FileView, record: Record) -> Iterator[str]:
    noticed = moment(record.changed_at, scene.now)
    if record.diagnosis is not None and record.diagnosis.code == "Excluded":
        yield f"is not sent (since {noticed}): {record.diagnosis.line()}"
        return
    yield f"disappeared before it could be sent (noticed at {noticed})."
    if scene.stat is not None:
        yield f"It is there again. {_settling(scene)}"


def _circumstances(scene: FileView) -> Iterator[str]:
    """What holds up not this file alone."""
    left_out = _left_out(scene)
    if left_out:
        yield f"By now it {left_out}"
    yield from _of_the_destination(scene)
    yield from _of_the_route(scene)
    if not scene.daemon_running:
        yield "No daemon is running: start it (`crosshaul run`), or deliver once (`crosshaul push`)."


def _of_the_destination(scene: FileView) -> Iterator[str]:
    status = scene.destination
    if status is None:
        return
    error = status.last_error.line() if status.last_error else ""
    if status.state is DestinationState.PARKED:
        again = f" One file is tried {_when(status.retry_at, scene.now)}." if status.retry_at else ""
        yield f"The destination {status.name} is parked: {error or 'it refuses all files.'}{again}"
    elif error:
        yield f"The destination {status.name} reports: {error}"
    ends = status.credentials_expire_at
    if ends is not None and ends < scene.now and scene.daemon_running:
        yield f"The session for {status.name} ended at {moment(ends, scene.now)} and could not be renewed so far."


def _of_the_route(scene: FileView) -> Iterator[str]:
    status, route = scene.watcher, scene.route
    if scene.paused:
        yield f"Route {route.name} is paused, and sends nothing until `crosshaul resume --route {route.name}`."
    if not scene.daemon_running or status is None or status.watcher == "watching":
        return
    scanned = f"; the last was at {moment(status.last_scan_at, scene.now)}" if status.last_scan_at else ""
    if status.watcher == "root missing":
        yield (
            f"The directory of route {route.name}, {route.path}, is missing: is it mounted? "
            "Its files wait, and none counts as deleted."
        )
    else:
        every = duration(route.rescan_interval)
        yield f"The watcher of route {route.name} says: {status.watcher}. Scans run every {every}{scanned}."


def _when(at: float, now: float) -> str:
    if at <= now:
        return "now"
    return f"at {moment(at, now)} (in {duration(at - now)})"


_TELLERS = {
    State.DELIVERED: _delivered,
    State.PENDING: _pending,
    State.UPLOADING: _uploading,
    State.SETTLING: _at_rest_again,
    State.QUARANTINED: _quarantined,
    State.GONE: _gone,
}
