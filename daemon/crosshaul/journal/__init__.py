"""The journal: a record of every file, on disk before anything is done with the file."""

from crosshaul.journal.commit_stats import CommitStats
from crosshaul.journal.protocol import JournalStore
from crosshaul.journal.sqlite.connect import DATABASE
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.requeue import requeue, resend
from crosshaul.journal.sqlite.store import Journal
from crosshaul.journal.sqlite.transitions import IllegalTransition

__all__ = ["DATABASE", "CommitStats", "IllegalTransition", "Journal", "JournalStore", "Reader", "requeue", "resend"]
