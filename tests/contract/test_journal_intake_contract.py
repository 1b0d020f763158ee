"""The contract of every store for discovery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crosshaul.journal import JournalStore
from crosshaul.model import (
    Recorded,
    SettleReason,
    Sighting,
    State,
)
from support.journal_contract import MUST_SETTLE, NOT_UPLOADING, changed_sightings, reach, record_of
from support.journal_samples import (
    DONE,
    PARTNER,
    ROUTE,
    START,
    TOO_LONG,
    settled,
    sighting,
)
from support.virtual_time import ManualClock


async def test_a_settled_file_is_pending(store: JournalStore, clock: ManualClock) -> None:
    """A newly admitted file is recorded as given, pending and due now."""
    await store.admit([settled(b"dir/\xff", 3)])
    record = await record_of(store, b"dir/\xff")
    output = (record.path, record.fingerprint, record.destination, record.key)
    assert output == (b"dir/\xff", sighting(b"", 3).fingerprint, PARTNER, "dir/\\xff")
    assert (record.state, record.generation, record.attempts) == (State.PENDING, 1, 0)
    assert (record.first_seen_at, record.changed_at, record.due_at) == (START, START, START)


async def test_a_fingerprint_of_any_size_comes_back(store: JournalStore) -> None:
    """Times far from now and inode numbers beyond 63 bits survive the journal."""
    odd = sighting(b"a").fingerprint._replace(mtime_ns=15 * 10**18, ctime_ns=-(10**18), inode=2**64 - 1)
    await store.admit([replace(settled(b"a"), sighting=Sighting(ROUTE, b"a", odd))])
    assert (await record_of(store)).fingerprint == odd


async def test_only_new_and_changed_files_are_returned(store: JournalStore) -> None:
    """filter_changed returns only new and changed files, route by route, in the order in which they were given."""
    await store.admit([settled(b"same"), settled(b"changed")])
    seen = [sighting(b"new"), sighting(b"same"), sighting(b"changed", 2)]
    assert await changed_sightings(store, seen) == [seen[0], seen[2]]
    elsewhere = [sighting(b"same", route="other")]
    assert await changed_sightings(store, elsewhere, "other") == elsewhere


async def test_many_sightings_are_compared_at_once(store: JournalStore) -> None:
    """A batch larger than any one query is compared completely."""
    await store.admit([settled(b"%05d" % number) for number in range(2500)])
    seen = [sighting(b"%05d" % number, 2 if number % 1000 == 0 else 1) for number in range(2600)]
    assert [int(one.path) for one in await changed_sightings(store, seen)] == [0, 1000, 2000, *range(2500, 2600)]


async def test_the_last_fingerprint_is_returned_with_its_reason(store: JournalStore) -> None:
    """The last fingerprint, and why it counted as settled, is returned for the paths that have a record."""
    await store.admit([replace(settled(b"%05d" % number), reason=SettleReason.MARKER) for number in range(700)])
    recorded = await store.recorded(ROUTE, [b"%05d" % number for number in range(600, 1300)])
    assert set(recorded) == {b"%05d" % number for number in range(600, 700)}
    assert recorded[b"00650"] == Recorded(sighting(b"00650").fingerprint, SettleReason.MARKER)


@pytest.mark.parametrize("state", State)
async def test_which_states_are_changed(store: JournalStore, state: State) -> None:
    """An unchanged file has to settle again only if it is changed or gone."""
    await reach(store, state)
    expected = [sighting(b"a")] if state in MUST_SETTLE else []
    assert await changed_sightings(store, [sighting(b"a")]) == expected


@pytest.mark.parametrize("state", NOT_UPLOADING)
async def test_a_changed_file_goes_again(store: JournalStore, state: State, clock: ManualClock) -> None:
    """A changed file that is not uploading is pending as a new generation, without diagnosis and receipt."""
    await reach(store, state)
    clock.at += 60
    await store.admit([settled(b"a", 2)])
    record = await record_of(store)
    assert (record.state, record.generation, record.attempts, record.ambiguous) == (State.PENDING, 2, 0, False)
    assert (record.receipt, record.diagnosis, record.after_due_at, record.multipart) == (None, None, None, None)
    assert (record.first_seen_at, record.changed_at, record.due_at) == (START, START + 60, START + 60)


@pytest.mark.parametrize("state", [state for state in State if state not in MUST_SETTLE])
async def test_admitting_the_same_again_changes_nothing(store: JournalStore, state: State) -> None:
    """When a hint and a scan report the same state of a file, the second report changes nothing."""
    await reach(store, state)
    before = await record_of(store)
    await store.admit([settled(b"a")])
    assert await record_of(store) == before


@pytest.mark.parametrize("state", MUST_SETTLE)
async def test_a_file_that_is_seen_at_rest_again_goes(store: JournalStore, state: State) -> None:
    """A file that was changed or gone is pending again even if its fingerprint is the old one."""
    await reach(store, state)
    await store.admit([settled(b"a")])
    assert (await record_of(store)).state == State.PENDING


@pytest.mark.parametrize("state", State)
async def test_a_refused_file_is_quarantined_with_its_reason(store: JournalStore, state: State) -> None:
    """A refusal quarantines the file in any state, at once or when its running upload finishes."""
    claim = await reach(store, state)
    await store.admit([settled(b"a", 2, refusal=TOO_LONG)])
    if state == State.UPLOADING:
        assert await store.finish(claim, DONE) == State.QUARANTINED
    record = await record_of(store)
    assert (record.state, record.receipt) == (State.QUARANTINED, None)
    assert record.diagnosis is not None
    assert (record.diagnosis.code, record.diagnosis.message) == (TOO_LONG.code, TOO_LONG.message)


async def test_two_files_never_share_a_key(store: JournalStore) -> None:
    """The second file of a key is quarantined with KeyConflict and the name of the first, within a batch and later."""
    await store.admit([settled(b"first", key="k"), settled(b"second", key="k")])
    await store.admit([settled(b"third", key="k", route="other")])
    for path, route in ((b"second", ROUTE), (b"third", "other")):
        record = await record_of(store, path, route)
        assert record.diagnosis is not None
        assert (record.state, record.diagnosis.code) == (State.QUARANTINED, "KeyConflict")
        assert "first" in record.diagnosis.message
    assert (await record_of(store, b"first")).state == State.PENDING


async def test_a_refused_file_takes_no_key(store: JournalStore) -> None:
    """A refused file takes no key, and releases one that it had."""
    await store.admit([settled(b"first", key="k")])
    await store.admit([settled(b"first", 2, key="k", refusal=TOO_LONG), settled(b"second", key="k")])
    assert (await record_of(store, b"second")).state == State.PENDING


async def test_a_key_is_free_when_its_file_is_gone(store: JournalStore) -> None:
    """When the first file disappears unsent, the file in conflict counts as changed, and gets the key."""
    await store.admit([settled(b"first", key="k"), settled(b"second", key="k")])
    assert await changed_sightings(store, [sighting(b"second")]) == []
    await store.mark_gone(ROUTE, [b"first"])
    assert await changed_sightings(store, [sighting(b"second")]) == [sighting(b"second")]
    await store.admit([settled(b"second", key="k")])
    assert (await record_of(store, b"second")).state == State.PENDING


async def test_keys_change_hands_within_a_batch(store: JournalStore) -> None:
    """A file that gets another key leaves its old key to a file that comes later in the batch."""
    await store.admit([settled(b"a", key="one"), settled(b"b", key="two")])
    await store.admit([settled(b"a", 2, key="three"), settled(b"b", 2, key="one"), settled(b"c", key="two")])
    states = [(await record_of(store, path)).state for path in (b"a", b"b", b"c")]
    assert states == [State.PENDING] * 3


@pytest.mark.parametrize("state", State)
async def test_only_undelivered_files_can_be_gone(store: JournalStore, state: State) -> None:
    """A missing file is gone if it was pending, changed or quarantined; in other states nothing changes."""
    await reach(store, state)
    await store.mark_gone(ROUTE, [b"a", b"never seen"])
    unsent = {State.PENDING, State.CHANGED, State.QUARANTINED}
    assert (await record_of(store)).state == (State.GONE if state in unsent else state)


async def test_a_key_that_is_let_go_later_in_the_batch(store: JournalStore) -> None:
    """A file that needs a key just before its holder releases it counts as changed again."""
    await store.admit([settled(b"holder", key="k")])
    await store.admit([settled(b"early", key="k"), settled(b"holder", 2, key="other")])
    assert await changed_sightings(store, [sighting(b"early"), sighting(b"holder", 2)]) == [sighting(b"early")]
