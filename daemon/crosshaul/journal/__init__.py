"""The journal: what is known of every file, on disk before anybody acts on it. The only owner of sqlite3."""

from crosshaul.journal.sqlite.reader import Reader, requeue
from crosshaul.journal.sqlite.store import Journal
from crosshaul.journal.sqlite.transitions import IllegalTransition
from crosshaul.journal.sqlite.writer import CommitStats

__all__ = ["CommitStats", "IllegalTransition", "Journal", "Reader", "requeue"]
