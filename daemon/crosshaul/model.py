"""The vocabulary: what the stages hand to each other through the journal. Values only, no behaviour to speak of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from crosshaul.errors import Diagnosis


class Fingerprint(NamedTuple):
    """What tells one state of a file from another without reading it. A tuple, since a walk makes millions.

    The device number is left out: it changes over a reboot on some volumes, and every file would go again.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Fingerprint:
        """The fingerprint in a stat result."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)

    def is_of(self, stat: os.stat_result) -> bool:
        """Whether it is that of a stat result."""
        return (
            self.size == stat.st_size
            and self.mtime_ns == stat.st_mtime_ns
            and self.ctime_ns == stat.st_ctime_ns
            and self.inode == stat.st_ino
        )

    def is_same_but_ctime(self, other: Fingerprint) -> bool:
        """Whether nothing but the ctime differs: after chmod, say, or when another hard link comes or goes."""
        return self._replace(ctime_ns=0) == other._replace(ctime_ns=0)


class Sighting(NamedTuple):
    """A regular file as a scan saw it. ``path`` is relative to the route's root, in the file system's bytes."""

    route: str
    path: bytes
    fingerprint: Fingerprint


class Place(NamedTuple):
    """Where objects lie, whatever the configuration calls it: two destinations may be one place."""

    endpoint: str
    """A store's address, or the AWS partition (``aws``), in which the names of buckets are unique."""
    bucket: str


class PlanId(NamedTuple):
    """What a route's files are judged by at a time, as the journal numbers it; 0 = none is known."""

    id: int = 0
    place: int = 0
    by_content: bool = False
    """The key tells the content: files that have one key are equal, and share it."""


NO_PLAN = PlanId()


class RoutePlan(NamedTuple):
    """All of the configuration that decides whether and where a route's files go: what a ``PlanId`` stands for."""

    route: str
    destination: str
    place: Place
    root: bytes
    """The watched directory."""
    digest: str
    """Differs as soon as anything does that decides where a file goes, or whether."""
    by_content: bool


class SettleReason(StrEnum):
    """Why a file counts as at rest."""

    QUIET = "quiet"
    FINISHED = "finished"
    """Its writer let go of it: renamed it into place or, where the route has it so, closed it."""
    CLOSED = "closed"
    """It was quiet, and the last that was heard of it was that a writer closed it."""
    MARKER = "marker"
    CEILING = "ceiling"
    """It never stood still, and ``max_wait`` is over."""


class Recorded(NamedTuple):
    """What the journal has of a path: the state that was taken last, and why it counted as at rest."""

    fingerprint: Fingerprint
    settled_by: SettleReason | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file can't be delivered as it is: a code and a sentence with the cure."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A file that came to rest, with where it is to go; or, with a refusal, why it can't go anywhere."""

    sighting: Sighting
    destination: str
    key: str
    refusal: Refusal | None = None
    reason: SettleReason = SettleReason.QUIET
    plan: PlanId = NO_PLAN


class ChangedFiles(NamedTuple):
    """The files that discovery has to process: changed ones, and those that another plan queued."""

    changed: list[Sighting]
    """New or changed files, files that were gone, and files that changed during their upload. They have to settle."""
    other_plan: list[Sighting]
    """Files that settled in this state under another plan. They only need a new key."""


class Denial(NamedTuple):
    """A file that the journal set aside at its admission."""

    settled: Settled
    refusal: Refusal
    holder: tuple[str, bytes] | None = None
    """Route and path of the file that has its key; None where it was refused for itself."""


class State(StrEnum):
    """Where a file is on its way. The journal allows these moves and no others (see ``TRANSITIONS``)."""

    PENDING = "pending"
    """At rest, and due to be sent at ``due_at``."""
    UPLOADING = "uploading"
    """Claimed by the transfer loop."""
    CHANGED = "changed"
    """Found changed when it was to be sent: waits for intake to see it at rest again."""
    DELIVERED = "delivered"
    """S3 has said so, and the receipt is on disk."""
    QUARANTINED = "quarantined"
    """Set aside with a reason; ``crosshaul retry`` or a change of the file puts it back."""
    GONE = "gone"
    """Disappeared before it could be sent."""


UNFINISHED = (State.PENDING, State.UPLOADING, State.CHANGED)
"""The states of a file that is still to be delivered."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.PENDING, State.UPLOADING, State.GONE, State.QUARANTINED}),
    State.UPLOADING: frozenset({State.PENDING, State.DELIVERED, State.QUARANTINED, State.CHANGED}),
    State.CHANGED: frozenset({State.PENDING, State.GONE, State.QUARANTINED}),
    State.DELIVERED: frozenset({State.PENDING, State.QUARANTINED}),
    State.QUARANTINED: frozenset({State.PENDING, State.QUARANTINED, State.DELIVERED, State.GONE}),
    State.GONE: frozenset({State.PENDING, State.QUARANTINED}),
}


class ChecksumKind(StrEnum):
    """How the store proves that it holds the bytes that were sent, best first."""

    CRC64NVME = "CRC64NVME"
    CRC32 = "CRC32"
    MD5 = "MD5"
    """Content-MD5: refused on mismatch by every S3 store, but not kept with the object."""


class Checksum(NamedTuple):
    """A checksum as S3 writes it: base64 of the big-endian value."""

    kind: ChecksumKind
    value: str


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part, as CompleteMultipartUpload needs it."""

    number: int
    size: int
    etag: str
    checksum: Checksum


@dataclass(frozen=True, slots=True)
class Multipart:
    """An unfinished multipart upload: all that is needed to go on without ListParts."""

    upload_id: str
    key: str
    part_size: int
    checksum_kind: ChecksumKind
    parts: tuple[Part, ...] = ()

    @property
    def sent(self) -> int:
        """Bytes that are in the bucket already."""
        return sum(part.size for part in self.parts)


LARGEST_OBJECT = 10_000 * (5 << 30)
"""Bytes of the largest object that S3 takes: 10,000 parts of 5 GiB."""

LARGE = 256 * 1024
"""Bytes from which a file is large. Small files and large ones go beside each other, so that none waits for the other
kind: they are claimed, and given memory, apart. The journal's index of what is due has the number in it."""


class Receipt(NamedTuple):
    """What S3 said when it took the object."""

    etag: str
    size: int
    delivered_at: float
    checksum: Checksum | None = None
    version_id: str | None = None
    request_id: str | None = None
    proven_by: str = "answer"
    """``answer`` (the upload's own response) or ``head`` (the response was lost; HEAD found the object's token)."""


class Claim(NamedTuple):
    """A file handed to the transfer loop. An outcome for an older generation than the journal's is stale."""

    id: int
    generation: int
    route: str
    destination: str
    path: bytes
    fingerprint: Fingerprint
    key: str
    attempts: int = 0
    """How often it was tried before, faults of the destination not counted."""
    ambiguous: bool = False
    """An earlier try may have succeeded unheard: ask S3 before sending again."""
    multipart: Multipart | None = None
    plan: int = 0
    """The number of the plan that gave it its key."""
    previous: Receipt | None = None
    """Of the state that was last seen delivered under this key of this place; without its time (0)."""
    never_settled: bool = False
    """It never came to rest, and was taken while it changed (``SettleReason.CEILING``)."""
    kept_receipt: Receipt | None = None
    """The receipt of the state before, if only the ctime differs from it and nothing was sent to the key since."""

    @property
    def large(self) -> bool:
        """Whether it is one of the large files."""
        return self.fingerprint.size >= LARGE


class Delivered(NamedTuple):
    """The claim's file is in the bucket. ``after_due_at``: when the source may be deleted or moved; None = keep."""

    receipt: Receipt
    after_due_at: float | None = None


class Unchanged(NamedTuple):
    """Nothing was sent: the file's bytes are those of the receipt that it kept. Delivered, for all that follows."""

    receipt: Receipt
    after_due_at: float | None = None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Send it again at ``due_at``. ``counts``: tries of the file itself that failed; none for a fault around it."""

    due_at: float
    diagnosis: Diagnosis
    counts: int = 1
    drop_multipart: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Set it aside, with the reason; ``counts`` more of its tries count, this one and those that were not counted."""

    diagnosis: Diagnosis
    counts: int = 1


@dataclass(frozen=True, slots=True)
class Release:
    """Put it back as it was (shutdown, parked destination)."""

    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Changed:
    """The file was not there in its recorded state: intake has to look, and alone says that a file is gone."""


Outcome = Delivered | Unchanged | RetryLater | Quarantine | Release | Changed


class AfterAction(StrEnum):
    """What became of the source after delivery."""

    DONE = "done"
    CHANGED = "changed"
    """It was no longer the file that was delivered, and was left alone."""
    GONE = "gone"
    KEPT = "kept"
    """The route keeps its sources now."""
    FAILED = "failed"
    """It could not be done so far, and is tried again when it is due."""
    WAITING = "waiting"
    """Another route has yet to deliver the file, or a program has it open for writing: looked at again when due."""


class AbandonedUpload(NamedTuple):
    """An upload in parts that is to be aborted."""

    place: int
    key: str
    upload_id: str
    tries: int


class HeldClaim(NamedTuple):
    """A claim by the journal: which one it is, and of which file."""

    id: int
    generation: int
    claimed_at: float
    route: str
    path: bytes


@dataclass(frozen=True, slots=True)
class AfterTask:
    """A delivered file whose source is due to be deleted or moved."""

    id: int
    generation: int
    route: str
    path: bytes
    fingerprint: Fingerprint
    receipt: Receipt
    key: str
    settled_by: SettleReason | None = None


class DestinationState(StrEnum):
    """Whether a destination takes files."""

    STARTING = "starting"
    READY = "ready"
    PARKED = "parked"
    """A fault of the account or bucket: one file at a time is tried until it works again."""


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """What the journal keeps of a destination, so that ``status`` can tell with the daemon down."""

    name: str
    state: DestinationState = DestinationState.STARTING
    retry_at: float | None = None
    credentials_expire_at: float | None = None
    last_error: Diagnosis | None = None
    checksum_kind: ChecksumKind | None = None
    """What the store was seen to honour; None until the first upload."""
    failing: bool = False
    """Tries fail one after the other although it is not parked: nothing answers, or all are told to slow down. The
    journal does not keep it."""


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """What the journal keeps of a route."""

    name: str
    watcher: str = "off"
    """``watching``, ``scanning only: <why>``, ``root missing`` or ``off``."""
    last_scan_at: float | None = None
    last_scan_seconds: float | None = None
    lost_events: int = 0
    settling: int = 0
    """Files seen that have not come to rest yet."""


@dataclass(frozen=True, slots=True)
class RouteCounts:
    """The journal's counts of one route."""

    route: str
    files: Mapping[State, int] = field(default_factory=dict)
    pending_bytes: int = 0
    delivered_bytes: int = 0
    oldest_pending_at: float | None = None

    def count(self, *states: State) -> int:
        """Return the number of files in these states."""
        return sum(self.files.get(state, 0) for state in states)

    @property
    def pending(self) -> int:
        """Files that are to be sent, with those that changed since: `wait` must not end before these."""
        return self.count(State.PENDING, State.CHANGED)


@dataclass(frozen=True, slots=True)
class Record:
    """One file's whole story, as ``list`` and ``explain`` show it."""

    id: int
    route: str
    destination: str
    path: bytes
    fingerprint: Fingerprint
    key: str
    state: State
    generation: int
    attempts: int
    first_seen_at: float
    changed_at: float
    """When the state last moved."""
    due_at: float
    ambiguous: bool = False
    diagnosis: Diagnosis | None = None
    receipt: Receipt | None = None
    after_due_at: float | None = None
    after_action: AfterAction | None = None
    multipart: Multipart | None = None
    place: Place | None = None
    """Where its key is; None where an older Crosshaul wrote the record and its destination is configured no more."""
    plan: int = 0
    settled_by: SettleReason | None = None
    """Why this state of it counted as at rest; None if an older Crosshaul wrote the record."""

    @property
    def sent_bytes(self) -> int:
        """Bytes that S3 has confirmed of an unfinished multipart upload; 0 of a file that goes in one request."""
        return self.multipart.sent if self.multipart else 0


@dataclass(frozen=True, slots=True)
class PushProgress:
    """How far a push is, told several times a second. Counts are of this push alone."""

    found: int
    """Files that are to be sent: new or changed, and at rest."""
    delivered: int
    failed: int
    delivered_bytes: int
    """With those of the parts that are in the bucket."""
    total_bytes: int
    current: tuple[str, ...] = ()
    """Names of the files being sent."""
    settling: int = 0
    """Files that have not come to rest yet."""


@dataclass(frozen=True, slots=True)
class PushSummary:
    """What a push did."""

    delivered: int
    unchanged: int
    failed: tuple[Record, ...]
    delivered_bytes: int
    seconds: float
    left_out: tuple[str, ...] = ()
    """What could not be looked at (an unreadable directory), a line each."""
    staying: tuple[Record, ...] = ()
    """Some of the delivered files that were to be deleted or moved, and stay for now; each says why."""
