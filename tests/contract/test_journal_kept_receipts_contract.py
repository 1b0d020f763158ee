"""The contract of every store for the receipt of a delivered file of which only the ctime changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crosshaul.journal import JournalStore
from crosshaul.model import Changed, Claim, Outcome, Release, RetryLater, Settled, State, Unchanged
from support.journal_contract import Factory, after_crash, reach, record_of
from support.journal_samples import LOST, PARTNER, RECEIPT, ROUTE, SLOW, START, settled
from support.virtual_time import ManualClock


def touched(ctime: int, *, key: str | None = None, **other: int) -> Settled:
    """The file ``a`` after chmod: only its ctime differs, besides ``other``."""
    one = settled(b"a", key=key)
    changed = one.sighting.fingerprint._replace(ctime_ns=ctime, **other)
    return replace(one, sighting=one.sighting._replace(fingerprint=changed))


async def claim_of(store: JournalStore, *admitted: Settled) -> Claim:
    """Return the claim of the last of these states of one file."""
    for one in admitted:
        await store.admit([one])
    return (await store.claim([ROUTE], 1))[0]


async def test_a_receipt_is_kept_whole_when_only_the_ctime_changes(store: JournalStore, clock: ManualClock) -> None:
    """The next claim has the receipt, also after another such change, and an equal file is delivered by it."""
    await reach(store, State.DELIVERED)
    claim = await claim_of(store, touched(2), touched(3))
    assert claim.kept_receipt == RECEIPT
    assert (await record_of(store)).receipt is None
    assert await store.finish(claim, Unchanged(RECEIPT, clock.now() + 60)) == State.DELIVERED
    record = await record_of(store)
    assert (record.receipt, record.after_due_at) == (RECEIPT, clock.now() + 60)
    assert (record.fingerprint, record.generation) == (touched(3).sighting.fingerprint, 3)
    assert (await claim_of(store, touched(4))).kept_receipt == RECEIPT


@pytest.mark.parametrize(
    "changed", [touched(2, mtime_ns=2), touched(2, size=12), touched(2, inode=7), touched(2, key="elsewhere")]
)
async def test_a_receipt_is_not_kept_for_another_file_or_place(store: JournalStore, changed: Settled) -> None:
    """If the mtime, size, inode or key differs, or differed in between, the file is sent again."""
    await reach(store, State.DELIVERED)
    assert (await claim_of(store, changed)).kept_receipt is None
    await store.finish((await the_claim(store)), Release())
    assert (await claim_of(store, touched(3))).kept_receipt is None


async def the_claim(store: JournalStore) -> Claim:
    """The claim of the file that is uploading."""
    record = await record_of(store)
    fingerprint = record.fingerprint
    return Claim(record.id, record.generation, ROUTE, PARTNER, b"a", fingerprint, record.key)


@pytest.mark.parametrize("outcome", [Release(), RetryLater(START, SLOW), Changed()])
async def test_a_receipt_outlasts_tries_that_sent_nothing(store: JournalStore, outcome: Outcome) -> None:
    """The receipt is kept through releases, failures and changes as long as nothing was sent."""
    await reach(store, State.DELIVERED)
    await store.finish(await claim_of(store, touched(2)), outcome)
    assert (await claim_of(store, touched(3))).kept_receipt == RECEIPT


async def test_a_receipt_outlasts_a_crash(
    store: JournalStore, factory: Factory, state_dir: Path, clock: ManualClock
) -> None:
    """After a crash while the file is read again, the receipt is still kept."""
    await reach(store, State.DELIVERED)
    await claim_of(store, touched(2))
    async with after_crash(factory, state_dir, clock) as reopened:
        assert (await reopened.claim([ROUTE], 1))[0].kept_receipt == RECEIPT


async def test_a_receipt_is_gone_before_anything_else_is_sent(store: JournalStore) -> None:
    """A dropped receipt is not kept by a later state, not even by one admitted before the drop."""
    await reach(store, State.DELIVERED)
    claim = await claim_of(store, touched(2))
    await store.admit([touched(3)])
    await store.drop_kept_receipt(claim)
    await store.finish(claim, RetryLater(START, LOST))
    assert (await claim_of(store)).kept_receipt is None
    await store.finish(await the_claim(store), Release())
    again = await claim_of(store, touched(4))
    etag = again.previous and again.previous.etag
    assert (again.kept_receipt, etag) == (None, RECEIPT.etag)


async def test_a_stale_answer_that_nothing_changed_changes_nothing(store: JournalStore) -> None:
    """A stale result "unchanged" does not apply to the newer state, which is compared with the receipt again."""
    await reach(store, State.DELIVERED)
    claim = await claim_of(store, touched(2))
    await store.admit([touched(3)])
    assert await store.finish(claim, Unchanged(RECEIPT)) == State.PENDING
    assert (await claim_of(store)).kept_receipt == RECEIPT
