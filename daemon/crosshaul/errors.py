"""One tree of errors. Everything foreign is mapped into it once, by the owner of the foreign library.

Each error reads as one line for a person: what happened, to which file or account, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: nothing in the configuration is at fault, and a service manager may start it again."""


class CrosshaulError(Exception):
    """The root: ``str(error)`` is one line; ``exit_code`` is what the process ends with if nobody handles it."""

    exit_code = 1


class ConfigError(CrosshaulError):
    """The configuration can't be used; ``faults`` lists every reason, one line each."""

    exit_code = 2

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name (of a route, a destination) that the configuration does not have."""
    names = list(known)
    close = _closest(name, names)
    return f"there is no {kind} {name}; {f'write {close}' if close else 'there are: ' + ', '.join(names)}"


def suggestion(word: str, choices: Iterable[str]) -> str:
    """Return what to write instead of an unknown word: the closest choice, or all of them."""
    words = list(choices)
    return f"write {_closest(word, words) or 'one of ' + ', '.join(words)}"


def _closest(word: str, choices: Iterable[str]) -> str | None:
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower(), by_lower, 1)
    return by_lower[close[0]] if close else None


class NotReadyError(CrosshaulError):
    """An identity or destination is unusable at start and ``--require-ready`` was given."""

    exit_code = 3


class LockedError(CrosshaulError):
    """Another instance holds ``state_dir``."""

    exit_code = 4


class StateDirError(CrosshaulError):
    """``state_dir`` or the journal in it can't be used (permissions, another program's files)."""

    exit_code = 2


class StateDirUnavailableError(StateDirError):
    """``state_dir`` can't be used at the moment (disk full, read-only, not answering): a later start may succeed."""

    exit_code = TRY_AGAIN


class JournalDamagedError(StateDirError):
    """The journal is damaged, or is none: somebody has to put another in its place."""


class JournalMovedError(StateDirError):
    """The journal was deleted or replaced under us: a new start goes on with what is there then."""

    exit_code = 1


class StoppedError(CrosshaulError):
    """SIGTERM ended a push before it was done; the code is what a shell would make of the signal."""

    exit_code = 143


class ControlError(CrosshaulError):
    """The running daemon could not be reached, or refused what was asked of it."""


class ListenError(CrosshaulError):
    """The HTTP address can't be listened on: the pages come later, and deliveries don't wait for them."""


class SourceError(CrosshaulError):
    """Something about a local file or directory."""


class FileGoneError(SourceError):
    """The file is not there any more."""


class FileChangedError(SourceError):
    """The file is not, or no longer, in the state that was recorded."""


class ContentChangedError(FileChangedError):
    """The file's bytes are others than those that were recorded, although size, times and inode are the same."""


class FileInUseError(SourceError):
    """A program has the file open for writing."""


class WritersUnseenError(SourceError):
    """Whether a program has the file open for writing can't be seen, and nothing else says that its writer ended."""


class FileUnreadableError(SourceError):
    """The file is there and can't be read (permissions, input/output error)."""


class LocalResourcesError(FileUnreadableError):
    """The machine has no more of what reading takes (descriptors, memory); says nothing of the file."""


class FileSystemError(FileUnreadableError):
    """The file system does not answer, or its server is gone; says nothing of the file."""


class RootMissingError(SourceError):
    """The watched directory is not there; says nothing of the files in it."""


class RouteHangsError(SourceError):
    """Reads below the watched directory hang, and this one was not begun; says nothing of the file."""


class HeldBackError(CrosshaulError):
    """The destination takes nothing at the moment: the file was not tried, and goes back as it was."""


class FaultKind(StrEnum):
    """What a fault of a call means for what happens next (retry.py decides from it)."""

    EXPIRED = "expired"
    """The session's credentials are no longer accepted: refresh, sign again, no failure of the file."""
    THROTTLED = "throttled"
    """SlowDown, 5xx, RequestTimeout: retry, and slow everyone down."""
    NETWORK = "network"
    """Nothing, or only half an answer, came: retry, and slow everyone down."""
    DESTINATION = "destination"
    """The fault is of the account or bucket (AccessDenied, NoSuchBucket, KMS.*, ...): park the destination."""
    FILE = "file"
    """The fault is of this file for good (KeyTooLong, EntityTooLarge, ...): quarantine it."""
    CORRUPT = "corrupt"
    """What arrived is not what was sent (BadDigest, checksum mismatch): stat the file, then send again."""
    RESTART_UPLOAD = "restart_upload"
    """The multipart upload can't be finished (NoSuchUpload, InvalidPart, 409 on Complete): start it over."""
    EXISTS = "exists"
    """412 on If-None-Match: an object is there already; it may be our own lost PUT."""
    LOCAL = "local"
    """The file can't be read at the moment (permissions, input/output error): retry, it may be mended."""
    UNSUPPORTED = "unsupported"
    """The store doesn't know something optional that was asked for (a checksum algorithm)."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a fault was, in the words that AWS uses; kept in the journal and shown to people. No secrets."""

    kind: FaultKind
    code: str
    """AWS's error code, or our own for what never reached AWS (``ConnectTimeout``, ``TLSError``, ...)."""
    message: str
    operation: str = ""
    """The API call, such as ``PutObject`` or ``AssumeRole``."""
    status: int | None = None
    """HTTP status; None when nothing answered."""
    request_id: str | None = None
    advice: str = ""
    """What to do, and who has to do it."""
    retry_after: float | None = None
    """Seconds, where the server asked for a pause."""
    ambiguous: bool = False
    """The request may have taken effect although no good answer came."""

    def line(self) -> str:
        """One line for a person."""
        return f"{self.fact()} {self.advice}".rstrip()

    def fact(self) -> str:
        """What happened, without what to do."""
        where = f"{self.operation}: " if self.operation else ""
        status = f"HTTP {self.status}, " if self.status is not None else "no answer, "
        if self.status is None and self.kind in {FaultKind.LOCAL, FaultKind.DESTINATION, FaultKind.FILE}:
            status = ""  # nobody was asked
        request = f", request id {self.request_id}" if self.request_id else ""
        return f"{where}{self.message.rstrip('.')} ({status}{self.code}{request})."


class Fault(CrosshaulError):
    """A call to STS or S3 failed; ``diagnosis`` says how."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.line())
        self.diagnosis = diagnosis

    @property
    def kind(self) -> FaultKind:
        """What the fault means for what happens next."""
        return self.diagnosis.kind
