"""The journal of the daemon, in SQLite: every write that was awaited is on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from crosshaul.concurrency.clock import Clock
from crosshaul.journal import lock
from crosshaul.journal.sqlite import connect, opening
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.store_abandoned import AbandonedUploadStore
from crosshaul.journal.sqlite.store_admissions import AdmissionStore
from crosshaul.journal.sqlite.store_claims import ClaimStore
from crosshaul.journal.sqlite.store_sources import SourceStore
from crosshaul.journal.sqlite.store_status import StatusStore
from crosshaul.journal.sqlite.writer import Writer


class Journal(AdmissionStore, ClaimStore, SourceStore, AbandonedUploadStore, StatusStore):
    """Records of all files. Every method may raise StateDirError; one that raises has changed nothing.

    A write waits for its commit, which it shares with all other waiting writes. Reads have a connection of their own
    and see every write that was awaited before. A write whose caller is cancelled may still take place.
    """

    def __init__(self, clock: Clock, held: lock.StateLock, writer: Writer, reader: Reader, reserve: Reserve) -> None:
        super().__init__(clock, writer, reader, reserve)
        self._lock = held
        self._closed = False

    @classmethod
    async def open(cls, state_dir: Path, clock: Clock) -> Journal:
        """Lock ``state_dir`` (made if missing), migrate its journal, and undo what a crash left unfinished.

        Raises LockedError if another process holds it, StateDirError if it can't be used.
        """
        reserve = Reserve(state_dir)
        held, connection, reader = await asyncio.to_thread(opening.open_with_reserve, reserve, state_dir, clock.now())
        database = state_dir / connect.DATABASE
        writer = Writer(connection, database, await asyncio.to_thread(connect.identity, database), reserve)
        return cls(clock, held, writer, reader, reserve)

    async def close(self) -> None:
        """Finish what is queued, close the journal and unlock ``state_dir``; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._read_thread.shutdown)
        self._reader.close()
        # Last, because only a writer that is alone can fold the write-ahead log into the database.
        await self._writer.close()
        self._lock.release()
