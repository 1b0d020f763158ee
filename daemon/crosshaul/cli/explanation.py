"""Explains why a file is, or is not yet, in the bucket. Pure."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from shlex import quote

from crosshaul.cli.delay_reasons import circumstances
from crosshaul.cli.file_view import FileView, left_out_reason, next_scan, settling_reason, when
from crosshaul.display import count, duration, moment, ordinal, size
from crosshaul.model import AfterAction, ChecksumKind, Receipt, Record, SettleReason, State


def explain(view: FileView) -> list[str]:
    """Return the explanation as lines of a sentence or two, the most important first."""
    record = view.record
    if record is None:
        return list(_unknown(view))
    first, *others = _STATE_LINES[record.state](view, record)
    lines = [f"{view.path} {first}", *others, *_ceiling(view, record), *_new_target(view)]
    if record.state is not State.DELIVERED or view.is_changed:
        lines += circumstances(view)
    return lines


def _unknown(view: FileView) -> Iterator[str]:
    never = _never_delivered(view)
    if never:
        yield f"{view.path} {never}"
        return
    yield f"{view.path} is not in the journal yet. {settling_reason(view)}"
    yield from circumstances(view)


def _never_delivered(view: FileView) -> str:
    """Say why this path can never be delivered as it is; empty if it can."""
    if view.stat is None:
        return f"does not exist, and the journal has no record of it (route {view.route.name})."
    mode = view.stat.st_mode
    if stat.S_ISDIR(mode):
        return "is a directory. Name one of its files: these are delivered."
    if stat.S_ISLNK(mode):
        return f"is a symbolic link, and route {view.route.name} skips these (symlinks: skip)."
    if not stat.S_ISREG(mode):
        return "is not a regular file, and only regular files are delivered."
    return left_out_reason(view)


def _ceiling(view: FileView, record: Record) -> Iterator[str]:
    if record.settled_by is SettleReason.CEILING:
        max_wait = duration(view.route.settle.max_wait)
        yield (
            f"It was queued while it was still changing, because it did not settle within max_wait ({max_wait}). "
            "Its object may hold an unfinished state."
        )


def _new_target(view: FileView) -> Iterator[str]:
    if view.new_url and view.stat is not None and not view.left_out:
        yield f"The present configuration sends it to {view.new_url}: the next scan queues it{next_scan(view)}."


def _delivered(view: FileView, record: Record) -> Iterator[str]:
    receipt = record.receipt
    if receipt is None:
        yield f"was delivered at {moment(record.changed_at, view.now)} as {view.url}."
        return
    at = moment(receipt.delivered_at, view.now)
    yield f"was delivered at {at} as {view.url}: {receipt.size:,} bytes, {_proof(receipt)}."
    details = {"ETag": receipt.etag, "version": receipt.version_id, "request id": receipt.request_id}
    yield "S3's receipt: " + ", ".join(f"{name} {value}" for name, value in details.items() if value) + "."
    yield from _after_upload(view, record)
    if view.is_changed:
        yield f"The file has changed since, and will be sent again. {settling_reason(view)}"


def _proof(receipt: Receipt) -> str:
    if receipt.checksum is None:
        proof = "confirmed by S3"
    elif receipt.checksum.kind is ChecksumKind.MD5:
        proof = "checked by S3 against its MD5 on arrival"
    else:
        proof = f"proven by S3's {receipt.checksum.kind} checksum ({receipt.checksum.value})"
    lost = "; the response was lost, and a HEAD request found the object"
    return proof + (lost if receipt.proven_by == "head" else "")


def _after_upload(view: FileView, record: Record) -> Iterator[str]:
    """Say what happened to the local file after its delivery, or will."""
    rule = view.route.after_upload
    done = f"moved to {rule.move_to}" if rule.action == "move" else "deleted"
    match record.after_action:
        case AfterAction.DONE:
            yield f"The local file was then {done}."
        case AfterAction.FAILED | AfterAction.WAITING:
            how = f"could not be {done}" if record.after_action is AfterAction.FAILED else f"is not {done} yet"
            yield f"The local file {how}" + (f": {record.diagnosis.line()}" if record.diagnosis else ".")
            if record.after_due_at is not None:
                yield f"The next try is {when(record.after_due_at, view.now)}."
        case AfterAction.KEPT:
            yield "The local file was kept, because the route was set to keep its files when the file was due."
        case AfterAction.CHANGED:
            yield f"The local file was not {done}, because it had changed."
        case _ if record.after_due_at is not None and record.diagnosis is not None:
            yield f"The local file is not {done} yet: {record.diagnosis.line()}"
            yield f"It is checked again {when(record.after_due_at, view.now)}."
        case _ if record.after_due_at is not None:
            yield f"The local file will be {done} {when(record.after_due_at, view.now)}."
        case _ if view.stat is None:
            yield "The local file no longer exists; the object stays."


def _pending(view: FileView, record: Record) -> Iterator[str]:
    if view.new_url:
        yield f"was pending for {view.url}, and gets its new address before it is sent."
        return
    if record.diagnosis is None:
        pending = duration(view.now - record.changed_at)
        yield f"is pending: it goes to {view.url} when a worker is free (pending for {pending})."
    else:
        due = "as soon as a worker is free" if record.due_at <= view.now else when(record.due_at, view.now)
        if record.attempts:
            yield f"is pending: the {ordinal(record.attempts + 1)} try, to {view.url}, is {due}."
        else:
            yield f"is pending: the next try, to {view.url}, is {due}. Failures of the destination are not counted."
        yield f"Last error: {record.diagnosis.line()}"
    yield from _sent_so_far(record)
    yield from _changes_since(view)


def _sent_so_far(record: Record) -> Iterator[str]:
    if record.multipart:
        parts = max(1, -(-record.fingerprint.size // max(1, record.multipart.part_size)))
        sent = f"{size(record.multipart.sent)} of {size(record.fingerprint.size)}"
        done = f"{len(record.multipart.parts):,} of its {count(parts, 'part')} ({sent})"
        yield f"{done} are in the bucket already; only the others are still to be sent."
    if record.ambiguous:
        yield "An earlier try may have succeeded although its response was lost: S3 is asked before the next one."


def _changes_since(view: FileView) -> Iterator[str]:
    if view.watcher is not None and view.watcher.watcher == "root missing":
        return
    if view.stat is None:
        yield "The local file no longer exists: the daemon will record it as gone."
    elif view.is_changed:
        yield "It has changed since: its new state is sent once it has settled."


def _uploading(view: FileView, record: Record) -> Iterator[str]:
    since = moment(record.changed_at, view.now)
    if view.daemon_running:
        yield f"is being uploaded to {view.url} for {duration(view.now - record.changed_at)} (since {since})."
    else:
        yield f"was being uploaded to {view.url} at {since} when the daemon ended; the next start continues the upload."
    yield from _sent_so_far(record)


def _changed(view: FileView, _record: Record) -> Iterator[str]:
    yield f"changed before it could be sent, and has to settle again. {settling_reason(view)}"


def _quarantined(view: FileView, record: Record) -> Iterator[str]:
    at = moment(record.changed_at, view.now)
    reason = record.diagnosis.line() if record.diagnosis else "no reason was recorded."
    tries = f" after the {ordinal(record.attempts)} try" if record.attempts else ", before any try"
    yield f"was quarantined at {at}{tries}: {reason}"
    if view.stat is None:
        yield "The local file no longer exists."
    elif view.is_changed:
        yield f"It has changed since, and will be queued again. {settling_reason(view)}"
    else:
        retry = f"`crosshaul retry {quote(view.path)}`"
        yield f"Once the cause is fixed, {retry} puts it back in the queue; so does a change of the file."


def _gone(view: FileView, record: Record) -> Iterator[str]:
    at = moment(record.changed_at, view.now)
    if record.diagnosis is not None and record.diagnosis.code == "Excluded":
        yield f"is not sent (since {at}): {record.diagnosis.line()}"
        return
    yield f"disappeared before it could be sent (noticed at {at})."
    if view.stat is not None:
        yield f"It exists again. {settling_reason(view)}"


_STATE_LINES = {
    State.DELIVERED: _delivered,
    State.PENDING: _pending,
    State.UPLOADING: _uploading,
    State.CHANGED: _changed,
    State.QUARANTINED: _quarantined,
    State.GONE: _gone,
}
