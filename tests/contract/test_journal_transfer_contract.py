"""The contract of every store for the transfer loop: claims and their outcomes."""

from __future__ import annotations

import asyncio

import pytest

from crosshaul.journal import IllegalTransition, JournalStore
from crosshaul.journal.canary_choice import Canaries, CanaryCriteria
from crosshaul.model import (
    TRANSITIONS,
    Changed,
    Claim,
    Delivered,
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
    PARTNER,
    RECEIPT,
    ROUTE,
    SLOW,
    START,
    settled,
    sighting,
)
from support.virtual_time import ManualClock


async def test_a_claim_carries_all_that_is_needed(store: JournalStore) -> None:
    """A claim has the file's route, destination, path, fingerprint and key, and the file is uploading."""
    await store.admit([settled(b"a", 4, key="k")])
    (claim,) = await store.claim([ROUTE], 5)
    fingerprint = sighting(b"a", 4).fingerprint
    assert claim == Claim(claim.id, 1, ROUTE, PARTNER, b"a", fingerprint, "k", 0, ambiguous=False, multipart=None)
    assert (await record_of(store)).state == State.UPLOADING
    assert await store.claim([ROUTE], 5) == []


async def test_only_due_files_of_the_named_routes_are_claimed(store: JournalStore, clock: ManualClock) -> None:
    """Files that are due later, or of another route, are not claimed; next_due returns when they are due."""
    claim = await claimed(store)
    await store.finish(claim, RetryLater(START + 30, SLOW))
    await store.admit([settled(b"b", route="other")])
    assert await store.claim([ROUTE], 5) == []
    assert (await store.next_due([ROUTE]), await store.next_due([ROUTE, "other"])) == (START + 30, START)
    assert await store.next_due(["no such route"]) is None
    clock.at += 30
    assert [one.path for one in await store.claim([ROUTE], 5)] == [b"a"]


async def test_the_oldest_due_goes_first(store: JournalStore, clock: ManualClock) -> None:
    """Within a route files are claimed in the order in which they became due."""
    for path in (b"c", b"a", b"b"):
        await store.admit([settled(path)])
        clock.at += 1
    assert [one.path for one in await store.claim([ROUTE], 2)] == [b"c", b"a"]
    assert [one.path for one in await store.claim([ROUTE], 2)] == [b"b"]


async def test_a_route_with_a_backlog_starves_nobody(store: JournalStore, clock: ManualClock) -> None:
    """Two routes share a claim equally, and take turns in single claims, whatever the age of one route's backlog."""
    await store.admit([settled(b"%03d" % number, route="big", key=f"big/{number}") for number in range(200)])
    clock.at += 60
    await store.admit([settled(b"%03d" % number, route="small", key=f"small/{number}") for number in range(20)])
    routes = [one.route for one in await store.claim(["big", "small"], 20)]
    assert (routes.count("big"), routes.count("small")) == (10, 10)
    singly = [(await store.claim(["big", "small"], 1))[0].route for _ in range(10)]
    assert (singly.count("big"), singly.count("small")) == (5, 5)
    rest = [one.route for one in await store.claim(["big", "small"], 50)]
    assert (rest.count("big"), rest.count("small")) == (45, 5)


async def failed_before(store: JournalStore, count: int, clock: ManualClock) -> None:
    """Files that failed once, and are due again."""
    await store.admit([settled(b"old %03d" % number, key=f"old/{number}") for number in range(count)])
    for claim in await store.claim([ROUTE], count):
        await store.finish(claim, RetryLater(clock.at, SLOW))
    clock.at += 1


async def test_first_tries_go_before_repeated_ones(store: JournalStore, clock: ManualClock) -> None:
    """However many failed files are due, a new file is in the next claim; failed files get a quarter of the places."""
    await failed_before(store, 100, clock)
    await store.admit([settled(b"new %03d" % number, key=f"new/{number}") for number in range(30)])
    paths = [one.path for one in await store.claim([ROUTE], 20)]
    assert paths == [b"new %03d" % number for number in range(15)] + [b"old %03d" % number for number in range(5)]
    singly = [(await store.claim([ROUTE], 1))[0].path[:3] for _ in range(12)]
    assert (singly.count(b"new"), singly.count(b"old")) == (9, 3)
    rest = [one.path[:3] for one in await store.claim([ROUTE], 40)]
    assert (rest.count(b"new"), rest.count(b"old")) == (6, 34)
    assert await store.next_due([ROUTE]) is not None


async def test_a_canary_is_due_and_as_was_wished(store: JournalStore, clock: ManualClock) -> None:
    """The canary is a due file of the named routes: unlike the refused ones, of those that came since, else any."""
    await failed_before(store, 3, clock)
    assert await store.claim_canary(["other"], CanaryCriteria()) is None
    await store.admit([settled(b"setup.exe", key="1"), settled(b"report.csv", key="2"), settled(b"run.exe", key="3")])
    canaries = Canaries()
    canaries.add_refused(ROUTE, b"more.exe", large=False)
    canary = await store.claim_canary([ROUTE], canaries.criteria(None))
    assert canary is not None
    assert canary.path == b"report.csv"
    assert (await record_of(store, b"report.csv")).state is State.UPLOADING
    assert await store.claim_canary([ROUTE], canaries.criteria(clock.at)) is None
    clock.at += 1
    await store.admit([settled(b"late.exe", key="4")])
    late = await store.claim_canary([ROUTE], canaries.criteria(clock.at - 1))
    assert late is not None
    assert late.path == b"late.exe"
    left = [await store.claim_canary([ROUTE], canaries.criteria(None)) for _ in range(6)]
    assert [one and one.path[:3] for one in left] == [b"run", b"set", b"old", b"old", b"old", None]


async def test_a_canary_is_chosen_among_two_hundred_failed_files(store: JournalStore, clock: ManualClock) -> None:
    """A failed file that is unlike the refused ones is the canary although 150 refused files are due before it."""
    await failed_before(store, 150, clock)
    await store.admit([settled(b"report.csv", key="by chance")])
    (claim,) = await store.claim([ROUTE], 1)
    await store.finish(claim, RetryLater(clock.at, SLOW))
    canaries = Canaries()
    canaries.add_refused(ROUTE, b"old 007", large=False)
    canary = await store.claim_canary([ROUTE], canaries.criteria(None))
    assert canary is not None
    assert canary.path == b"report.csv"


async def test_a_delivered_file_has_its_receipt(store: JournalStore, clock: ManualClock) -> None:
    """A delivered file has its receipt and the due time of its source, and no earlier error."""
    claim = await claimed(store)
    await store.finish(claim, RetryLater(START, LOST))
    (again,) = await store.claim([ROUTE], 1)
    clock.at += 9
    assert await store.finish(again, Delivered(RECEIPT, after_due_at=START + 99)) == State.DELIVERED
    record = await record_of(store)
    assert (record.state, record.receipt, record.after_due_at) == (State.DELIVERED, RECEIPT, START + 99)
    assert (record.attempts, record.ambiguous, record.diagnosis) == (0, False, None)
    assert record.changed_at == START + 9


async def test_a_retry_keeps_count_and_reason(store: JournalStore) -> None:
    """A retry counts only the file's own attempts, keeps the diagnosis, and stays ambiguous until it is resolved."""
    claim = await claimed(store)
    assert await store.finish(claim, RetryLater(START, LOST)) == State.PENDING
    record = await record_of(store)
    assert (record.attempts, record.ambiguous, record.diagnosis) == (1, True, LOST)
    (again,) = await store.claim([ROUTE], 1)
    assert (again.attempts, again.ambiguous) == (1, True)
    await store.finish(again, RetryLater(START + 3, SLOW, counts=False))
    record = await record_of(store)
    assert (record.attempts, record.ambiguous, record.diagnosis, record.due_at) == (1, True, SLOW, START + 3)


async def test_a_released_file_is_as_it_was(store: JournalStore) -> None:
    """Release changes neither attempts nor diagnosis."""
    claim = await claimed(store)
    await store.finish(claim, RetryLater(START, LOST))
    before = await record_of(store)
    (again,) = await store.claim([ROUTE], 1)
    assert await store.finish(again, Release(START)) == State.PENDING
    assert await record_of(store) == before


async def test_a_quarantined_file_keeps_the_reason(store: JournalStore) -> None:
    """Quarantine keeps the diagnosis, and the file is not claimed any more."""
    assert await store.finish(await claimed(store), Quarantine(SLOW)) == State.QUARANTINED
    assert (await record_of(store)).diagnosis == SLOW
    assert await store.claim([ROUTE], 1) == []


async def test_the_try_that_sets_a_file_aside_counts(store: JournalStore) -> None:
    """The count of a quarantined file includes the last attempt and earlier ones that were not counted then."""
    await store.finish(await claimed(store), RetryLater(START, LOST))
    (again,) = await store.claim([ROUTE], 1)
    await store.finish(again, Quarantine(SLOW, counts=4))
    assert (await record_of(store)).attempts == 5


OUTCOMES: dict[str, tuple[Outcome, State, State]] = {
    "delivered": (DONE, State.DELIVERED, State.PENDING),
    "retry": (RetryLater(START + 50, LOST), State.PENDING, State.PENDING),
    "quarantine": (Quarantine(SLOW), State.QUARANTINED, State.PENDING),
    "release": (Release(START + 50), State.PENDING, State.PENDING),
    "changed": (Changed(), State.CHANGED, State.PENDING),
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_where_each_outcome_leads(store: JournalStore, name: str) -> None:
    """Each outcome of a current claim moves the file to its state, and returns that state."""
    outcome, state, _ = OUTCOMES[name]
    assert await store.finish(await claimed(store), outcome) == state
    assert (await record_of(store)).state == state


@pytest.mark.parametrize("name", OUTCOMES)
async def test_a_stale_outcome_sends_the_new_state(store: JournalStore, name: str, clock: ManualClock) -> None:
    """If the file changed while it was sent nothing of the outcome is kept, and it is due at once in its new state."""
    outcome, _, state = OUTCOMES[name]
    claim = await claimed(store)
    await store.admit([settled(b"a", 2)])
    running = await record_of(store)
    assert (running.state, running.generation, running.fingerprint.mtime_ns) == (State.UPLOADING, 2, 2)
    assert await store.claim([ROUTE], 1) == []
    clock.at += 7
    assert await store.finish(claim, outcome) == state
    record = await record_of(store)
    assert (record.state, record.attempts, record.ambiguous, record.receipt) == (state, 0, False, None)
    assert (record.diagnosis, record.due_at, record.multipart) == (None, START + 7, None)


@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("state", NOT_UPLOADING)
async def test_only_a_claim_can_finish(store: JournalStore, state: State, name: str) -> None:
    """Finishing a file that is not uploading is an illegal transition, whatever the outcome, and changes nothing."""
    claim = await reach(store, state)
    before = await record_of(store)
    with pytest.raises(IllegalTransition):
        await store.finish(claim, OUTCOMES[name][0])
    assert await record_of(store) == before


async def test_a_claim_of_an_earlier_round_is_none(store: JournalStore) -> None:
    """A stale claim that was settled can't be settled again while the file's new state is under way."""
    first = await claimed(store)
    await store.admit([settled(b"a", 2)])
    await store.finish(first, DONE)
    (second,) = await store.claim([ROUTE], 1)
    with pytest.raises(IllegalTransition):
        await store.finish(first, DONE)
    assert await store.finish(second, DONE) == State.DELIVERED


async def test_one_illegal_outcome_fails_alone(store: JournalStore) -> None:
    """Of the outcomes in one transaction only the illegal one fails, also if one claim finishes twice."""
    await store.admit([settled(b"%d" % number) for number in range(10)])
    claims = await store.claim([ROUTE], 10)
    waiting = [store.finish(claim, DONE) for claim in (*claims[:5], claims[2], *claims[5:])]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers.pop(5), IllegalTransition)
    assert answers == [State.DELIVERED] * 10


def test_the_outcomes_reach_every_legal_move() -> None:
    """Each transition from uploading is the result of at least one outcome."""
    assert {state for _, state, _ in OUTCOMES.values()} == TRANSITIONS[State.UPLOADING]


async def test_make_due_calls_off_the_waiting(store: JournalStore) -> None:
    """When a destination works again, the pending files of its routes are due now, and those of others are not."""
    await store.admit([settled(b"a"), settled(b"b", route="other")])
    for claim in await store.claim([ROUTE, "other"], 2):
        await store.finish(claim, RetryLater(START + 300, SLOW))
    await store.make_due([ROUTE])
    assert (await store.next_due([ROUTE]), await store.next_due(["other"])) == (START, START + 300)
