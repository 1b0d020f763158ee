"""Deliberate bugs in what is found, and when it counts as finished."""

from __future__ import annotations

from bugs import bug

BUGS = (
    bug(
        "a file server's clock that is behind ours switches quiet off",
        "settle.py",
        "if self.file_clock.ours:",
        "if self.file_clock is not None:",
        "tests/unit/test_settle.py tests/unit/test_intake.py -k server",
    ),
    bug(
        "a change seen on a file server does not start quiet anew",
        "settle.py",
        "first=before is None and walked)",
        "first=True)",
        "tests/unit/test_settle.py",
    ),
    bug(
        "our clock set forward makes a file that is being written look old",
        "file_clock.py",
        "return self._forward if stamp_ns < self._last_ns else 0.0",
        "return 0.0",
        "tests/unit/test_settle.py",
    ),
    bug(
        "a state is read while a change of the same size could still get its time stamps",
        "settle.py",
        "if left > 0 and not",
        "if left < 0 and not",
        "tests/unit/test_settle.py",
    ),
    bug(
        "time stamps in whole seconds are taken for fine ones",
        "file_clock.py",
        "return fingerprint.ctime_ns % _SECOND_NS == 0",
        "return False",
        "tests/unit/test_settle.py tests/unit/test_file_clock.py",
    ),
    bug(
        "the marker of the last file releases the next one while it is being written",
        "marker.py",
        "return marker.ctime_ns >= file.ctime_ns",
        "return True",
        "tests/unit/test_marker.py tests/unit/test_intake.py -k marker",
    ),
    bug(
        "a file whose marker was taken away waits for ever",
        "marker.py",
        "if record is not None and same and record.settled_by is Reason.MARKER:",
        "if record is None and same:",
        "tests/unit/test_marker.py tests/unit/test_intake.py -k marker",
    ),
    bug(
        "a large file that is read for its key holds up all others of its route",
        "hashing.py",
        "return small or sorted(large, key=lambda job: job.size - job.done)[:1]",
        "return large[:1] or small",
        "tests/unit/test_intake.py -k beside_all_others",
    ),
    bug(
        "a file is read for its key although no object can hold it",
        "intake.py",
        "if not reads or self._namer.refuses(one[0])])",
        "if not reads])",
        "tests/unit/test_intake.py -k no_object",
    ),
    bug(
        "what was turned away waits for the next scan",
        "intake.py",
        "            self._note_turned_away()\n            self._walk_wanted.set()\n",
        "            self._note_turned_away()\n",
        "tests/unit/test_intake.py -k turned_away",
    ),
    bug(
        "a route without an inotify instance is walked at each try to get one",
        "watch/watcher.py",
        "            heard = False\n",
        "",
        "tests/unit/test_watch.py -k deaf",
    ),
    bug(
        "unreadable directories beyond the first thousand are logged at each scan",
        "left_out.py",
        "if self._more and self._more != self._more_told:",
        "if self._more:",
        "tests/unit/test_left_out.py",
    ),
    bug(
        "a directory that is opened to us waits for the next scan",
        "intake.py",
        "if path in arrived or self._left_out.mended(path):",
        "if path in arrived:",
        "tests/unit/test_intake.py -k becomes_readable",
    ),
    bug(
        "news of a new directory hides that it is new",
        "hint_queue.py",
        "                self._arrived.add(path)\n",
        "                pass\n",
        "tests/unit/test_hint_queue.py",
    ),
)
