"""The journal: what is known of every file, on disk before anybody acts on it. The only owner of sqlite3."""

from crosshaul.journal.moves import IllegalMove
from crosshaul.journal.reader import Reader, requeue
from crosshaul.journal.store import Journal
from crosshaul.journal.writer import CommitStats

__all__ = ["CommitStats", "IllegalMove", "Journal", "Reader", "requeue"]
