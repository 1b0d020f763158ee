"""The contract of every store for multipart uploads."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from crosshaul.journal import IllegalTransition, JournalStore
from crosshaul.model import (
    Changed,
    Outcome,
    Quarantine,
    Release,
    RetryLater,
    State,
)
from support.journal_contract import NOT_UPLOADING, claimed, reach, record_of
from support.journal_samples import (
    DONE,
    LOST,
    ROUTE,
    SLOW,
    START,
    multipart,
    part,
    settled,
)


async def test_an_unfinished_upload_comes_with_the_next_claim(store: JournalStore) -> None:
    """After a retry the claim has the upload id, the part size, and the parts in order."""
    claim = await claimed(store)
    await store.begin_multipart(claim, multipart())
    for number in (3, 1, 2):
        await store.add_part(claim, part(number))
    await store.add_part(claim, part(2, size=9))
    await store.finish(claim, RetryLater(START, LOST))
    (again,) = await store.claim([ROUTE], 1)
    assert again.multipart == replace(multipart(), parts=(part(1), part(2, size=9), part(3)))
    assert (await record_of(store)).multipart == again.multipart


async def test_parts_are_added_together(store: JournalStore) -> None:
    """Parts of several files that finish at the same time are each added to their own upload."""
    await store.admit([settled(b"a"), settled(b"b")])
    claims = await store.claim([ROUTE], 2)
    await asyncio.gather(*(store.begin_multipart(claim, multipart(key=claim.key)) for claim in claims))
    await asyncio.gather(*(store.add_part(claim, part(number)) for number in range(1, 20) for claim in claims))
    for claim in claims:
        found = (await record_of(store, claim.path)).multipart
        assert found is not None
        assert (found.key, [one.number for one in found.parts]) == (claim.key, list(range(1, 20)))


async def test_a_new_upload_takes_the_place_of_the_old(store: JournalStore) -> None:
    """begin_multipart forgets an earlier upload and its parts, and drop_multipart forgets the last."""
    claim = await claimed(store)
    await store.begin_multipart(claim, multipart(1, 2))
    await store.begin_multipart(claim, multipart(upload_id="upload-2"))
    assert (await record_of(store)).multipart == multipart(upload_id="upload-2")
    await store.drop_multipart(claim)
    assert (await record_of(store)).multipart is None


ENDINGS: dict[str, tuple[Outcome, bool]] = {
    "delivered": (DONE, False),
    "retry": (RetryLater(START, SLOW), True),
    "retry from the start": (RetryLater(START, SLOW, drop_multipart=True), False),
    "quarantine": (Quarantine(SLOW), True),
    "release": (Release(), True),
    "changed": (Changed(), False),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_which_outcomes_end_an_upload(store: JournalStore, name: str) -> None:
    """The multipart upload is kept exactly as long as it can be completed."""
    outcome, kept = ENDINGS[name]
    claim = await claimed(store)
    await store.begin_multipart(claim, multipart(1))
    await store.finish(claim, outcome)
    assert (await record_of(store)).multipart == (multipart(1) if kept else None)


async def test_a_changed_file_starts_its_upload_over(store: JournalStore) -> None:
    """A new generation drops the upload, and the stale claim can't add parts."""
    claim = await claimed(store)
    await store.begin_multipart(claim, multipart(1))
    await store.admit([settled(b"a", 2)])
    await store.add_part(claim, part(2))
    await store.begin_multipart(claim, multipart(1))
    await store.drop_multipart(claim)
    assert (await record_of(store)).multipart is None


@pytest.mark.parametrize("state", NOT_UPLOADING)
async def test_only_a_claim_has_parts(store: JournalStore, state: State) -> None:
    """Multipart state of a file that isn't uploading is an illegal transition."""
    claim = await reach(store, state)
    with pytest.raises(IllegalTransition):
        await store.begin_multipart(claim, multipart())
    with pytest.raises(IllegalTransition):
        await store.add_part(claim, part(1))
    with pytest.raises(IllegalTransition):
        await store.drop_multipart(claim)


async def test_a_file_that_is_gone_has_no_upload(store: JournalStore) -> None:
    """When an unsent file disappears, its unfinished upload is forgotten, and those of other files are kept."""
    for path in (b"a", b"b"):
        claim = await claimed(store, path)
        await store.begin_multipart(claim, multipart(1))
        await store.finish(claim, RetryLater(START + 5, SLOW))
    await store.mark_gone(ROUTE, [b"a"])
    assert [(await record_of(store, path)).multipart for path in (b"a", b"b")] == [None, multipart(1)]
