"""The journal against a model of it in plain Python, under any order of calls and crashes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crosshaul.journal import Journal, requeue
from crosshaul.model import (
    Changed,
    Claim,
    Delivered,
    Multipart,
    Outcome,
    Quarantine,
    Receipt,
    Record,
    Release,
    RetryLater,
    Settled,
    State,
)
from support.journal_samples import (
    LOST,
    RECEIPT,
    SLOW,
    START,
    TOO_LONG,
    multipart,
    part,
    settled,
    sighting,
)
from support.virtual_time import ManualClock

File = tuple[str, bytes]
ROUTES = ("one", "two")
FILES = [("one", b"file-1"), ("one", b"file-2"), ("two", b"file-1")]
KEYS = ["k1", "k2", "k3"]


@dataclass
class Expected:
    """The expected record of one file."""

    state: State
    generation: int
    fingerprint: int
    key: str
    holds_key: bool
    due_at: float
    attempts: int = 0
    ambiguous: bool = False
    claimed: int | None = None
    recheck: bool = False
    receipt: Receipt | None = None
    multipart: Multipart | None = None
    previous: Receipt | None = None
    """The last known object of an earlier state under this key."""
    after_due_at: float | None = None
    source_gone: bool = False

    def matches(self, record: Record) -> bool:
        mine = (self.state, self.generation, self.fingerprint, self.key, self.due_at, self.attempts, self.ambiguous)
        seen = record.fingerprint.mtime_ns
        theirs = (record.state, record.generation, seen, record.key, record.due_at, record.attempts, record.ambiguous)
        return mine == theirs and (self.receipt, self.multipart) == (record.receipt, record.multipart)

    def is_changed(self, fingerprint: int) -> bool:
        return self.fingerprint != fingerprint or self.state in {State.CHANGED, State.GONE} or self.recheck


class Model:
    """The journal's rules in plain Python."""

    def __init__(self) -> None:
        self.files: dict[File, Expected] = {}

    def admit(self, batch: list[Settled], now: float) -> None:
        for route in dict.fromkeys(one.sighting.route for one in batch):
            mine = [one for one in batch if one.sighting.route == route]
            for one in [one for one in mine if self.is_changed(one)]:
                self.admit_one(one, now)

    def is_changed(self, one: Settled) -> bool:
        old = self.files.get((one.sighting.route, one.sighting.path))
        return old is None or old.is_changed(one.sighting.fingerprint.mtime_ns)

    def admit_one(self, one: Settled, now: float) -> None:
        file = (one.sighting.route, one.sighting.path)
        old = self.files.get(file)
        if old and old.holds_key and (one.refusal or old.key != one.key):
            self.free(file)
        if one.refusal is None and not (old and old.holds_key and old.key == one.key):
            self.take_from_the_dead(one.key)
        holds = one.refusal is None and self.holder(one.key) in {None, file}
        state = State.PENDING if holds else State.QUARANTINED
        new = Expected(state, 1, one.sighting.fingerprint.mtime_ns, one.key, holds, now)
        if old:
            state = State.UPLOADING if old.state == State.UPLOADING else state
            keeps = old.holds_key and holds and old.key == one.key
            previous = (remembered(old.receipt) or old.previous) if keeps else None
            new = replace(new, generation=old.generation + 1, claimed=old.claimed, state=state, previous=previous)
        self.files[file] = new

    def holder(self, key: str) -> File | None:
        return next((file for file, one in self.files.items() if one.holds_key and one.key == key), None)

    def take_from_the_dead(self, key: str) -> None:
        """A delivered file whose source is gone releases its key to the next file that needs it."""
        holder = self.holder(key)
        if holder and self.files[holder].source_gone:
            self.free(holder)
            self.files[holder].recheck = True

    def free(self, file: File) -> None:
        """Files that need the key are judged again."""
        self.files[file].holds_key = False
        for other, one in self.files.items():
            waits = one.state == State.QUARANTINED and not one.holds_key and one.key == self.files[file].key
            one.recheck = one.recheck or (waits and other != file)

    def gone(self, file: File) -> None:
        if self.files[file].holds_key:
            self.free(file)
        one = self.files[file]
        one.state, one.multipart, one.recheck = State.GONE, None, False

    def source_gone(self, file: File) -> None:
        """Files that wait for its key are judged again."""
        self.files[file].source_gone = True
        for other, one in self.files.items():
            waits = one.state == State.QUARANTINED and not one.holds_key and one.key == self.files[file].key
            one.recheck = one.recheck or (waits and other != file)

    def finish(self, claim: Claim, outcome: Outcome, now: float) -> None:
        file = (claim.route, claim.path)
        one = self.files[file]
        one.claimed = None
        one.due_at = one.due_at if isinstance(outcome, Delivered) and one.generation == claim.generation else now
        if one.generation == claim.generation:
            self.settle_fresh(file, one, outcome)
        else:
            if isinstance(outcome, Delivered) and one.key == claim.key:
                one.previous = remembered(outcome.receipt)
            one.state = State.PENDING if one.holds_key else State.QUARANTINED

    def settle_fresh(self, file: File, one: Expected, outcome: Outcome) -> None:
        match outcome:
            case Delivered(receipt, after_due_at):
                one.state, one.receipt, one.after_due_at = State.DELIVERED, receipt, after_due_at
                one.attempts, one.ambiguous, one.multipart, one.previous = 0, False, None, None
            case RetryLater(due_at, diagnosis, counts, drop):
                one.state, one.due_at, one.attempts = State.PENDING, due_at, one.attempts + counts
                one.ambiguous = one.ambiguous or diagnosis.ambiguous
                one.multipart = None if drop else one.multipart
            case Quarantine(diagnosis, counts):
                one.state, one.ambiguous = State.QUARANTINED, one.ambiguous or diagnosis.ambiguous
                one.attempts += counts
            case Release(due_at):
                one.state, one.due_at = State.PENDING, due_at
            case Changed():
                one.state, one.multipart = State.CHANGED, None

    def crash(self, now: float) -> None:
        for one in self.files.values():
            if one.state in {State.UPLOADING, State.CHANGED}:
                one.ambiguous = one.ambiguous or one.claimed == one.generation
                one.due_at = now if one.state == State.CHANGED else min(now, one.due_at)
                one.state = State.PENDING if one.holds_key else State.QUARANTINED
                one.claimed = None


def remembered(receipt: Receipt | None) -> Receipt | None:
    """Return what is kept of a receipt after its file has changed."""
    return receipt and receipt._replace(delivered_at=0.0, request_id=None, proven_by="answer")


def outcomes(now: float) -> list[Outcome]:
    return [
        Delivered(RECEIPT),
        Delivered(RECEIPT, now + 3),
        RetryLater(now + 3, LOST),
        RetryLater(now, SLOW, counts=False),
        RetryLater(now, SLOW, drop_multipart=True),
        Quarantine(LOST),
        Release(now),
        Changed(),
    ]


OUTCOMES = len(outcomes(0))


def admission(file: File, state: int, key: str, *, refused: bool) -> Settled:
    return settled(file[1], state, route=file[0], key=key, refusal=TOO_LONG if refused else None)


refusals = st.sampled_from([False] * 5 + [True])
admissions = st.lists(
    st.builds(admission, st.sampled_from(FILES), st.integers(1, 3), st.sampled_from(KEYS), refused=refusals),
    min_size=1,
    max_size=2,
    unique_by=lambda one: (one.sighting.route, one.sighting.path),
)
picks = st.integers(0, 100)


class JournalMachine(RuleBasedStateMachine):
    """Each rule does the same to both; after each the two are compared completely."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="journal-machine-"))
        self.lives = 0
        self.clock = ManualClock()
        self.model = Model()
        self.claims: list[Claim] = []
        self.runner = asyncio.Runner()
        self.open()

    def open(self) -> None:
        self.journal = self.runner.run(Journal.open(self.state_dir, self.clock))

    @property
    def state_dir(self) -> Path:
        return self.home / str(self.lives)

    @rule(batch=admissions)
    def admit_and_claim(self, batch: list[Settled]) -> None:
        self.admit(batch)
        self.claim(2)

    @rule(batch=admissions)
    def admit(self, batch: list[Settled]) -> None:
        self.runner.run(self.journal.admit(batch))
        self.model.admit(batch, self.clock.at)

    @rule(file=st.sampled_from(FILES))
    def vanish(self, file: File) -> None:
        self.runner.run(self.journal.mark_gone(file[0], [file[1]]))
        one = self.model.files.get(file)
        if one and one.state in {State.PENDING, State.CHANGED, State.QUARANTINED}:
            self.model.gone(file)
        if one and one.state is State.DELIVERED and one.after_due_at is None:
            self.model.source_gone(file)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        files = self.model.files.values()
        due = [one for one in files if one.state == State.PENDING and one.due_at <= self.clock.at]
        found = self.runner.run(self.journal.claim(ROUTES, limit))
        assert len(found) == min(limit, len(due))
        for claim in found:
            one = self.model.files[claim.route, claim.path]
            assert one.state == State.PENDING
            assert (claim.generation, claim.attempts, claim.ambiguous) == (one.generation, one.attempts, one.ambiguous)
            assert (claim.multipart, claim.previous) == (one.multipart, one.previous)
            one.state, one.claimed = State.UPLOADING, one.generation
        self.claims += found

    @precondition(lambda self: self.claims)
    @rule(which=picks, how=st.sampled_from(range(OUTCOMES)), meanwhile=st.none() | st.sampled_from(KEYS))
    def settle(self, which: int, how: int, meanwhile: str | None) -> None:
        """``meanwhile``: the file changes before its outcome comes, and goes under this key."""
        claim = self.claims.pop(which % len(self.claims))
        if meanwhile:
            changed = self.model.files[claim.route, claim.path].fingerprint + 1
            self.admit([admission((claim.route, claim.path), changed, meanwhile, refused=False)])
        outcome = outcomes(self.clock.at)[how]
        state = self.runner.run(self.journal.finish(claim, outcome))
        self.model.finish(claim, outcome, self.clock.at)
        assert state == self.model.files[claim.route, claim.path].state

    @precondition(lambda self: self.claims)
    @rule(which=picks, number=st.integers(1, 3))
    def upload_a_part(self, which: int, number: int) -> None:
        claim = self.claims[which % len(self.claims)]
        one = self.model.files[claim.route, claim.path]
        if one.multipart is None:
            self.runner.run(self.journal.begin_multipart(claim, multipart(key=claim.key)))
        if one.multipart is not None or one.generation == claim.generation:
            self.runner.run(self.journal.add_part(claim, part(number)))
        if one.generation == claim.generation:
            had = one.multipart.parts if one.multipart else ()
            parts = {other.number: other for other in (*had, part(number))}
            one.multipart = replace(multipart(key=claim.key), parts=tuple(parts[name] for name in sorted(parts)))

    @rule(chosen=st.none() | st.lists(st.sampled_from(FILES), unique=True))
    def requeue(self, chosen: list[File] | None) -> None:
        files = self.model.files
        names = [file for file in (files if chosen is None else chosen) if file in files]
        mine = [files[file] for file in names if files[file].state == State.QUARANTINED]
        assert requeue(self.state_dir, chosen) == len(mine)
        for file in names:
            one = files[file]
            if one.state == State.QUARANTINED:
                one.attempts = 0
                one.state = State.PENDING if one.holds_key else one.state
                one.recheck = not one.holds_key
                one.due_at = self.due_of(file)

    def due_of(self, file: File) -> float:
        """Return the due time; ``requeue`` uses the system's clock, as the command does, so ours follows it."""
        record = self.runner.run(self.journal.find(*file))
        assert record is not None
        assert record.due_at > START
        self.clock.at = max(self.clock.at, record.due_at)
        return record.due_at

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.clock.at += seconds
        self.runner.run(self.journal.make_due(["one"]))
        for (route, _), one in self.model.files.items():
            if route == "one" and one.state == State.PENDING:
                one.due_at = min(one.due_at, self.clock.at)

    @precondition(lambda self: self.claims)
    @rule()
    def crash(self) -> None:
        old = self.state_dir
        self.lives += 1
        shutil.copytree(old, self.state_dir)
        self.runner.run(self.journal.close())
        self.open()
        self.model.crash(self.clock.at)
        self.claims.clear()

    @invariant()
    def every_record_is_as_expected(self) -> None:
        for (route, path), one in self.model.files.items():
            record = self.runner.run(self.journal.find(route, path))
            assert record is not None
            assert one.matches(record), (one, record)

    @invariant()
    def what_may_have_changed_is_not_filtered_out(self) -> None:
        """The journal may have a file judged once more than needed; the model follows it then."""
        for (route, path), one in self.model.files.items():
            seen = [sighting(path, one.fingerprint, route)]
            news = any(self.runner.run(self.journal.filter_changed(route, seen)))
            assert news >= one.is_changed(one.fingerprint)
            one.recheck = news and one.state in {State.QUARANTINED, State.DELIVERED}

    @invariant()
    def counts_are_right(self) -> None:
        counted = Counter((route, one.state) for (route, _), one in self.model.files.items())
        tallies = self.runner.run(self.journal.route_counts())
        assert {(tally.route, state): n for tally in tallies for state, n in tally.files.items() if n} == counted

    def teardown(self) -> None:
        self.runner.run(self.journal.close())
        self.runner.close()
        shutil.rmtree(self.home)


# Shrinking repeats hundreds of runs, each with its own files and fsyncs, and would hit the test's time limit.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
JournalMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=50, deadline=None, phases=PHASES)
TestJournalMachine = JournalMachine.TestCase
