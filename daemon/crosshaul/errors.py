"""All errors. The module that owns a foreign library maps its errors to these.

Each error's text is one line: what happened, to which file or account, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: the configuration is not at fault, and a service manager may restart the process."""


class CrosshaulError(Exception):
    """Base class: ``str(error)`` is one line; ``exit_code`` is the process's exit code if the error is not handled."""

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
    """The journal is damaged, or is not a journal: the operator has to replace it."""


class JournalMovedError(StateDirError):
    """The journal was deleted or replaced while it was open: a restart uses the one that is there then."""

    exit_code = 1


class StoppedError(CrosshaulError):
    """SIGTERM ended a push before it was done; the exit code is the shell's for that signal."""

    exit_code = 143


class ControlError(CrosshaulError):
    """The running daemon could not be reached, or refused the request."""


class ListenError(CrosshaulError):
    """The HTTP address can't be bound. The server retries; deliveries continue without it."""


class SourceError(CrosshaulError):
    """A fault of a local file or directory."""


class FileGoneError(SourceError):
    """The file no longer exists."""


class FileChangedError(SourceError):
    """The file does not have the recorded fingerprint."""


class ContentChangedError(FileChangedError):
    """The file's content differs from the recorded checksum, although size, times and inode are the same."""


class FileInUseError(SourceError):
    """A program has the file open for writing."""


class WritersUnseenError(SourceError):
    """It is unknown whether a program has the file open for writing, and no event shows that its writer ended."""


class FileUnreadableError(SourceError):
    """The file exists and can't be read (permissions, input/output error)."""


class LocalResourcesError(FileUnreadableError):
    """The machine is out of descriptors or memory; not a fault of the file."""


class FileSystemError(FileUnreadableError):
    """The file system does not respond, or its server is gone; not a fault of the file."""


class RootMissingError(SourceError):
    """The watched directory is missing; not a fault of the files in it."""


class RouteHangsError(SourceError):
    """Reads below the watched directory hang, and this one was not started; not a fault of the file."""


class HeldBackError(CrosshaulError):
    """The destination accepts no files at the moment: the file was not tried, and is queued again unchanged."""


class FaultKind(StrEnum):
    """Kind of a fault; retry.py decides from it what happens next."""

    EXPIRED = "expired"
    """The session's credentials are no longer accepted: refresh them and sign again; not a failed attempt."""
    THROTTLED = "throttled"
    """SlowDown, 5xx, RequestTimeout: retry, and send fewer requests at a time."""
    NETWORK = "network"
    """No response, or an incomplete one: retry, and send fewer requests at a time."""
    DESTINATION = "destination"
    """A fault of the account or bucket (AccessDenied, NoSuchBucket, KMS.*, ...): park the destination."""
    FILE = "file"
    """A permanent fault of this file (KeyTooLong, EntityTooLarge, ...): quarantine it."""
    CORRUPT = "corrupt"
    """The store received other bytes than were sent (BadDigest, checksum mismatch): stat the file, then send again."""
    RESTART_UPLOAD = "restart_upload"
    """The multipart upload can't be finished (NoSuchUpload, InvalidPart, 409 on Complete): start it over."""
    EXISTS = "exists"
    """412 on If-None-Match: the object exists already, perhaps from our own PUT whose response was lost."""
    LOCAL = "local"
    """The file can't be read at the moment (permissions, input/output error): retry."""
    UNSUPPORTED = "unsupported"
    """The store does not support an optional feature (a checksum algorithm)."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Description of a fault in AWS's terms; kept in the journal and shown to operators. No secrets."""

    kind: FaultKind
    code: str
    """AWS's error code, or our own if AWS did not respond (``ConnectTimeout``, ``TLSError``, ...)."""
    message: str
    operation: str = ""
    """The API call, such as ``PutObject`` or ``AssumeRole``."""
    status: int | None = None
    """HTTP status; None without a response."""
    request_id: str | None = None
    advice: str = ""
    """Instruction: who has to do what."""
    retry_after: float | None = None
    """Seconds that the server asked to wait."""
    ambiguous: bool = False
    """The request may have taken effect although no valid response came."""

    def line(self) -> str:
        """Return message and advice in one line."""
        return f"{self.without_advice()} {self.advice}".rstrip()

    def without_advice(self) -> str:
        """Return the message without the advice."""
        where = f"{self.operation}: " if self.operation else ""
        status = f"HTTP {self.status}, " if self.status is not None else "no response, "
        if self.status is None and self.kind in {FaultKind.LOCAL, FaultKind.DESTINATION, FaultKind.FILE}:
            status = ""  # no request was sent
        request = f", request id {self.request_id}" if self.request_id else ""
        return f"{where}{self.message.rstrip('.')} ({status}{self.code}{request})."


class Fault(CrosshaulError):
    """A call to STS or S3 failed; see ``diagnosis``."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.line())
        self.diagnosis = diagnosis

    @property
    def kind(self) -> FaultKind:
        """Kind of the fault."""
        return self.diagnosis.kind
