"""The contract of every store: after-upload tasks, counts, crashes and other processes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from crosshaul.concurrency.clock import Clock
from crosshaul.errors import LockedError
from crosshaul.journal import JournalStore
from crosshaul.model import (
    AfterAction,
    Changed,
    ChecksumKind,
    Delivered,
    DestinationState,
    DestinationStatus,
    Quarantine,
    RetryLater,
    RouteStatus,
    Settled,
    State,
)
from support.journal_contract import Factory, after_crash, changed_sightings, claimed, record_of
from support.journal_samples import (
    DONE,
    PARTNER,
    RECEIPT,
    ROUTE,
    SLOW,
    START,
    TOO_LONG,
    multipart,
    part,
    settled,
    sighting,
)
from support.virtual_time import ManualClock

# After delivery


async def delivered_until(store: JournalStore, due_at: float) -> None:
    await store.finish(await claimed(store), Delivered(RECEIPT, due_at))


async def test_sources_are_due_after_their_grace(store: JournalStore, clock: ManualClock) -> None:
    """A source is due after its grace period, with the receipt that allows its deletion, until it is finished."""
    await delivered_until(store, START + 60)
    assert (await store.due_after_tasks(ROUTE, 5), await store.next_after_due(ROUTE)) == ([], START + 60)
    clock.at += 60
    assert (await store.due_after_tasks("another", 5), await store.next_after_due("another")) == ([], None)
    (task,) = await store.due_after_tasks(ROUTE, 5)
    assert (task.path, task.fingerprint, task.receipt) == (b"a", sighting(b"a").fingerprint, RECEIPT)
    assert task.generation == 1
    await store.finish_after_task(task, AfterAction.DONE)
    assert (await store.due_after_tasks(ROUTE, 5), await store.next_after_due(ROUTE)) == ([], None)
    record = await record_of(store)
    assert (record.state, record.after_action, record.receipt) == (State.DELIVERED, AfterAction.DONE, RECEIPT)


async def test_a_failed_deletion_keeps_its_reason(store: JournalStore) -> None:
    """finish_after_task keeps a diagnosis."""
    await delivered_until(store, START)
    (task,) = await store.due_after_tasks(ROUTE, 5)
    await store.finish_after_task(task, AfterAction.FAILED, SLOW)
    record = await record_of(store)
    assert (record.after_action, record.diagnosis) == (AfterAction.FAILED, SLOW)


async def test_a_changed_source_is_due_no_more(store: JournalStore) -> None:
    """A changed file's deletion is cancelled, and a late result of it is ignored."""
    await delivered_until(store, START)
    (task,) = await store.due_after_tasks(ROUTE, 5)
    await store.admit([settled(b"a", 2)])
    assert await store.due_after_tasks(ROUTE, 5) == []
    await store.finish_after_task(task, AfterAction.DONE)
    assert (await record_of(store)).after_action is None


# Counts and status


async def test_tallies_count_each_route(store: JournalStore, clock: ManualClock) -> None:
    """The counts have files by state, bytes, and the time since when the oldest file is pending, also after retries."""
    await store.admit([settled(b"%d" % number) for number in range(4)])
    clock.at += 10
    await store.admit([settled(b"x", route="other")])
    claims = await store.claim([ROUTE], 3)
    await store.finish(claims[0], DONE)
    await store.finish(claims[1], RetryLater(START + 500, SLOW))
    tallies = {tally.route: tally for tally in await store.route_counts()}
    counted = {state: count for state, count in tallies[ROUTE].files.items() if count}
    assert counted == {State.DELIVERED: 1, State.UPLOADING: 1, State.PENDING: 2}
    assert (tallies[ROUTE].pending_bytes, tallies[ROUTE].delivered_bytes) == (22, 11)
    assert (tallies[ROUTE].oldest_pending_at, tallies["other"].oldest_pending_at) == (START, START + 10)


async def test_bytes_follow_the_file(store: JournalStore) -> None:
    """A file that grows while it is pending counts with its new size, whichever of two reports in a batch is last."""
    await store.admit([settled(b"a"), settled(b"b")])
    grown = [Settled(sighting(b"a", state, size=size), PARTNER, "a") for state, size in ((2, 500), (3, 1000))]
    await store.admit(grown)
    (tally,) = await store.route_counts()
    assert (tally.files[State.PENDING], tally.pending_bytes) == (2, 1011)


async def test_destinations_are_remembered(
    factory: Factory, store: JournalStore, state_dir: Path, clock: Clock
) -> None:
    """A destination's last saved status is there after a restart."""
    await store.save_destination(DestinationStatus(PARTNER))
    status = DestinationStatus(PARTNER, DestinationState.PARKED, 5.0, 6.0, SLOW, ChecksumKind.CRC32)
    await store.save_destination(status)
    await store.save_route(RouteStatus(ROUTE, "root missing: /srv/\udcff", 1.0, 2.0, 3, 4))
    await store.close()
    reopened = await factory.open(state_dir, clock)
    assert await reopened.destinations() == [status]
    await reopened.close()


# Crashes, and other processes


async def test_what_was_awaited_survives_a_crash(
    factory: Factory, store: JournalStore, state_dir: Path, clock: ManualClock
) -> None:
    """A copy of the directory taken at any moment has every delivery and part that was awaited before."""
    await store.admit([settled(b"a"), settled(b"b")])
    claims = await store.claim([ROUTE], 2)
    await store.finish(claims[0], DONE)
    await store.begin_multipart(claims[1], multipart())
    await store.add_part(claims[1], part(1))
    async with after_crash(factory, state_dir, clock) as reopened:
        record = await record_of(reopened)
        assert (record.state, record.receipt) == (State.DELIVERED, RECEIPT)
        (claim,) = await reopened.claim([ROUTE], 5)
        assert (claim.path, claim.ambiguous, claim.multipart) == (b"b", True, multipart(1))


async def test_a_crash_leaves_nothing_half_done(
    factory: Factory, store: JournalStore, state_dir: Path, clock: ManualClock
) -> None:
    """After a restart uploading files are pending and ambiguous, changed files are pending, and all are due."""
    for path in (b"settling", b"waiting", b"uploading", b"changed"):
        claim = await claimed(store, path)
        if path == b"settling":
            await store.finish(claim, Changed())
        if path == b"waiting":
            await store.finish(claim, RetryLater(START + 90, SLOW))
    await store.admit([settled(b"changed", 2)])
    async with after_crash(factory, state_dir, clock) as reopened:
        found = {claim.path: claim.ambiguous for claim in await reopened.claim([ROUTE], 10)}
        assert found == {b"settling": False, b"uploading": True, b"changed": False}
        assert await reopened.next_due([ROUTE]) == START + 90


async def test_a_refused_state_is_not_sent_after_a_crash(
    factory: Factory, store: JournalStore, state_dir: Path, clock: ManualClock
) -> None:
    """A file whose new state was refused during its upload is quarantined after a restart."""
    await claimed(store)
    await store.admit([settled(b"a", 2, refusal=TOO_LONG)])
    async with after_crash(factory, state_dir, clock) as reopened:
        assert (await record_of(reopened)).state == State.QUARANTINED


async def test_closing_twice_and_opening_again(factory: Factory, state_dir: Path, clock: ManualClock) -> None:
    """A closed store releases the directory, and no awaited write is missing."""
    first = await factory.open(state_dir, clock)
    await first.admit([settled(b"a")])
    await first.close()
    await first.close()
    second = await factory.open(state_dir, clock)
    assert (await record_of(second)).state == State.PENDING
    await second.close()


async def test_requeued_files_go_again(
    factory: Factory, store: JournalStore, state_dir: Path, clock: ManualClock
) -> None:
    """A requeue beside the open store makes only quarantined files pending and due, with no attempts."""
    for path in (b"a", b"b", b"c"):
        claim = await claimed(store, path)
        await store.finish(claim, RetryLater(START, SLOW))
        (again,) = await store.claim([ROUTE], 1)
        await store.finish(again, DONE if path == b"c" else Quarantine(SLOW))
    selected = [(ROUTE, b"b"), (ROUTE, b"c"), ("no route", b"a")]
    assert await asyncio.to_thread(factory.requeue, state_dir, selected) == 1
    record = await record_of(store, b"b")
    assert (record.state, record.attempts) == (State.PENDING, 0)
    assert (await record_of(store, b"c")).state == State.DELIVERED
    assert await asyncio.to_thread(factory.requeue, state_dir, None) == 1
    clock.at = (await record_of(store, b"a")).due_at
    assert {claim.path for claim in await store.claim([ROUTE], 5)} == {b"a", b"b"}


async def test_a_requeued_refusal_is_decided_again(factory: Factory, store: JournalStore, state_dir: Path) -> None:
    """A refused file has no key, so after a requeue the next scan sees it as changed."""
    await store.admit([settled(b"a", refusal=TOO_LONG)])
    assert await changed_sightings(store, [sighting(b"a")]) == []
    assert await asyncio.to_thread(factory.requeue, state_dir, None) == 1
    assert (await record_of(store)).state == State.QUARANTINED
    assert await changed_sightings(store, [sighting(b"a")]) == [sighting(b"a")]
    await store.admit([settled(b"a", key="short")])
    record = await record_of(store)
    assert (record.state, record.key, record.diagnosis) == (State.PENDING, "short", None)


OPEN_AND_DIE = """
import asyncio, os, sys
from pathlib import Path
from crosshaul.concurrency.clock import SystemClock
{import_line}

async def main():
    await Store.open(Path(sys.argv[1]), SystemClock())
    print("open", flush=True)
    sys.stdin.readline()
    os._exit(9)

asyncio.run(main())
"""


async def test_one_process_at_a_time(state_dir: Path, factory: Factory, clock: ManualClock) -> None:
    """While another process holds the directory, the error has its pid; after its death the directory is free."""
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OPEN_AND_DIE.format(import_line=factory.import_line),
        str(state_dir),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"open\n"
    with pytest.raises(LockedError, match=rf"pid {other.pid}\b.*{state_dir}"):
        await factory.open(state_dir, clock)
    await asyncio.wait_for(other.communicate(b"\n"), timeout=10)
    await (await factory.open(state_dir, clock)).close()
