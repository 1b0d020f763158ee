"""Bugs put in on purpose: the process itself, what it writes, who reaches it, and where its state is."""

from __future__ import annotations

from bugs import bug

BUGS = (
    bug(
        "a full disk that journal and watched files share stays full: no receipt, no deletion, no room",
        "journal/writer.py",
        "isinstance(self.trouble, StateDirUnavailableError) or not self._reserve.release():",
        "isinstance(self.trouble, StateDirUnavailableError) or True:",
        "tests/state/test_bad_disk.py",
    ),
    bug(
        "the room that is kept for receipts is no room",
        "journal/reserve.py",
        "            os.posix_fallocate(descriptor, 0, SIZE_BYTES)\n",
        "            os.ftruncate(descriptor, SIZE_BYTES)\n",
        "tests/unit/test_journal_reserve.py",
    ),
)
