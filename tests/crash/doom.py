"""Points at which a life may end: before and after each transaction of the journal, call to AWS and touch of a source.

Wrapped around the product from outside. Each point has a name; passing it for the nth time is a moment that a life can
be made to die at, by a SIGKILL that it sends itself.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.control_client import S3ControlClient
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.delivery.after_upload import source_removal
from crosshaul.journal.sqlite import (
    claims,
    outcomes,
    store_abandoned,
    store_admissions,
    store_claims,
    store_sources,
    store_status,
    writer,
)


class Doom:
    """Records each point that is passed in ``trace``, and kills the process at the ``nth`` passing of ``point``."""

    def __init__(self, trace: Path, point: str | None = None, nth: int = 1) -> None:
        self._trace = trace
        self._fate = (point, nth)
        self._passed: Counter[str] = Counter()

    def lay(self) -> None:
        """Wrap the product, in a process that will be killed anyway."""
        _lay_journal(self._at)
        _lay_calls(self._at)
        _lay_sources(self._at)

    def _at(self, point: str) -> None:
        self._passed[point] += 1
        with self._trace.open("a") as trace:
            trace.write(f"{point}\n")
        if (point, self._passed[point]) == self._fate:
            os.kill(os.getpid(), signal.SIGKILL)


At = Callable[[str], None]

_NAMES: dict[object, str] = {
    getattr(owner, name): name.strip("_").lower()
    for owner in (store_abandoned, store_admissions, store_claims, store_sources, store_status)
    for name in vars(owner)
    if name.isupper() and callable(getattr(owner, name))
}
_NAMES |= {outcomes.finish_after_tasks: "finish_after_task", claims.add_parts: "add_part"}


def _kinds(units: Sequence[Any]) -> list[str]:
    """Return what a transaction writes: each kind of work once, claims by their outcome."""
    return sorted({_kind(unit) for unit in units})


def _kind(unit: Any) -> str:
    if unit.work is outcomes.finish:
        return f"finish_{type(unit.argument.outcome).__name__.lower()}"
    return _NAMES.get(unit.work, "claim")


class _Committing:
    """The journal's connection, with a point before each commit."""

    def __init__(self, connection: Any, before_commit: Callable[[], None]) -> None:
        self._connection = connection
        self._before_commit = before_commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement == "COMMIT":
            self._before_commit()
        return self._connection.execute(statement, *arguments)


def _lay_journal(at: At) -> None:
    transact = writer.Writer._transact

    def doomed(self: Any, units: list[Any]) -> None:
        kinds = _kinds(units)

        def each(side: str) -> None:
            for kind in kinds:
                at(f"journal {kind}: {side}")

        each("before it is written")
        connection = self._connection
        self._connection = _Committing(connection, lambda: each("written, not committed"))
        try:
            transact(self, units)
        finally:
            self._connection = connection
        each("committed, nobody told")

    writer.Writer._transact = doomed  # type: ignore[method-assign]


def _lay_calls(at: At) -> None:
    for owner, method, name_of in (
        (BaseCredentials, "assume_role", lambda *_: "AssumeRole"),
        (S3ControlClient, "call", lambda operation, *_: operation),
        (S3UploadClient, "_send", lambda operation, *_: operation),
    ):
        setattr(owner, method, _around(getattr(owner, method), name_of, at))


def _around(call: Callable[..., Any], name_of: Callable[..., str], at: At) -> Callable[..., Any]:
    async def doomed(self: Any, *arguments: Any, **named: Any) -> Any:
        name = name_of(*arguments)
        at(f"call {name}: before it is sent")
        try:
            return await call(self, *arguments, **named)
        finally:
            at(f"call {name}: answered, not noted")

    return doomed


def _lay_sources(at: At) -> None:
    for name in ("unlink", "link"):
        setattr(os, name, _beside(getattr(os, name), f"source {name}", at))
    for name in ("rename_at_once", "rename_noreplace"):
        setattr(source_removal, name, _around_rename(getattr(source_removal, name), f"source {name}", at))


def _around_rename(rename: Callable[..., Any], name: str, at: At) -> Callable[..., Any]:
    def doomed(*arguments: Any) -> Any:
        at(f"{name}: before")
        renamed = rename(*arguments)
        at(f"{name}: done, not noted")
        return renamed

    return doomed


def _beside(touch: Callable[..., None], name: str, at: At) -> Callable[..., None]:
    def doomed(*arguments: Any, **named: Any) -> None:
        if not named:
            touch(*arguments)  # some other file: sources are touched through directory descriptors
            return
        at(f"{name}: before")
        touch(*arguments, **named)
        at(f"{name}: done, not noted")

    return doomed
