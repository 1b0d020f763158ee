"""Deliberate bugs of the process: what it writes, who can reach it, and its state directory."""

from __future__ import annotations

from bugs import bug

BUGS = (
    bug(
        "a full disk that journal and watched files share stays full: no receipt, no deletion, no room",
        "journal/sqlite/write_batch.py",
        "if not self._may_be_full(error) or not self._reserve.release():",
        "if True:",
        "tests/state/test_bad_disk.py",
    ),
    bug(
        "anyone who fills a full disk gets all the room that was kept for receipts, at once",
        "journal/sqlite/reserve.py",
        "            if size > PIECE_BYTES:\n",
        "            if False:\n",
        "tests/unit/journal/test_reserve.py",
    ),
    bug(
        "anyone who fills a full disk takes the room that the journal's log needs",
        "journal/sqlite/reserve.py",
        " and self._fill_log()\n",
        "\n",
        "tests/state/test_bad_disk.py -k continue_writing",
    ),
    bug(
        "the room that is kept for receipts is no room",
        "journal/sqlite/reserve.py",
        "        os.posix_fallocate(descriptor, 0, size)\n",
        "        os.ftruncate(descriptor, size)\n",
        "tests/unit/journal/test_reserve.py",
    ),
    bug(
        "an external ID of five characters or fewer stands in the log",
        "telemetry/redact.py",
        "_MIN_SECRET_CHARACTERS = 2\n",
        "_MIN_SECRET_CHARACTERS = 6\n",
        "tests/unit/telemetry/test_logs.py",
    ),
    bug(
        "a configuration that every user can change is used without a word",
        "config/writable_by_others.py",
        "    if mode & stat.S_IWOTH:\n",
        "    if mode & stat.S_IWOTH and False:\n",
        "tests/unit/config/test_writable_by_others.py",
    ),
    bug(
        "root's daemon keeps its journal where another user can replace it",
        "journal/state_dir.py",
        "if status.st_uid != os.geteuid() and not",
        "if status.st_uid == -1 and not",
        "tests/unit/journal/test_state_dir.py",
    ),
    bug(
        "a store's request id of 30 KB is kept with each file",
        "aws/returned_ids.py",
        "[:MAX_REQUEST_ID_CHARACTERS])[:MAX_REQUEST_ID_CHARACTERS]",
        ")",
        "tests/unit/aws/test_returned_ids.py",
    ),
    bug(
        "a log that nobody reads stops the daemon",
        "telemetry/log_writer.py",
        "        size = line.size()\n        with self._lock:\n",
        "        size = line.size()\n        self._write([line])\n        with self._lock:\n",
        "tests/system/test_stuck_log.py",
    ),
    bug(
        "lost lines are not counted",
        "telemetry/log_writer.py",
        "                self._unreported += 1\n",
        "",
        "tests/unit/telemetry/test_log_writer.py",
    ),
    bug(
        "a terminal that is stopped stops the push that draws on it",
        "cli/progress_bar.py",
        '        """Show the progress soon."""\n        self._latest = progress\n',
        '        """Show the progress soon."""\n        self._latest = progress\n        self._progress.refresh()\n',
        "tests/unit/cli/test_progress.py",
    ),
    bug(
        "connections that say nothing take all descriptors, and nothing is delivered",
        "telemetry/web/connections.py",
        "while len(self._open) >= MAX_CONNECTIONS:",
        "while len(self._open) >= 100_000:",
        "tests/unit/telemetry/test_web_limits.py",
    ),
    bug(
        "a header of odd bytes makes a traceback for each request",
        "telemetry/web/guard.py",
        'given.strip().encode("utf-8", "surrogateescape")',
        "given.strip().encode()",
        "tests/unit/telemetry/test_web_limits.py",
    ),
)
