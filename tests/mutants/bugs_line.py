"""Bugs of the way to the store: names, deadlines, the line and its limit, and the documents for the partner."""

from __future__ import annotations

from bugs import bug

BUGS = (
    # Names
    bug(
        "names that hang in the resolver take the threads that everybody needs",
        "app.py",
        "    http1.resolve_apart()\n    gc.freeze()",
        "    gc.freeze()",
        "tests/outages/test_isolation.py -k names",
    ),
    bug(
        "each file of a destination whose name hangs begins a lookup of its own",
        "aws/http1/names.py",
        "        if answer is None:\n",
        "        if True:\n",
        "tests/unit/test_http1_dial.py",
    ),
    bug(
        "an outage looks the name up for each try",
        "aws/http1/names.py",
        "self._due = min(self._due, self._asked_at + _PAUSE_SECONDS)",
        "self._due = 0.0",
        "tests/unit/test_http1_dial.py",
    ),
    bug(
        "new connections wait for a lookup that hangs although addresses are known",
        "aws/http1/names.py",
        "if not self._known and self._lookup is not None:",
        "if self._lookup is not None:",
        "tests/unit/test_http1_dial.py",
    ),
    # Deadlines
    bug(
        "a body that moves is given up after a while",
        "aws/http1/connection.py",
        "if mark != self._mark or self._pacing is not None:",
        "if self._pacing is not None:",
        "tests/unit/test_http1.py tests/faults/test_slow_line.py",
    ),
    bug(
        "an answer is waited for no longer than a body may stand still",
        "aws/http1/connection.py",
        "elif now - self._taken_at >= self._deadlines.answer:",
        "elif now - self._taken_at >= self._deadlines.progress:",
        "tests/unit/test_http1.py",
    ),
    bug(
        "a part whose answer is late each time is sent for ever",
        "aws/patience.py",
        "2.0 ** self._given_up.get(request, 0)",
        "1.0",
        "tests/unit/test_patience.py",
    ),
    bug(
        "a store that answers late costs each part a try in vain",
        "aws/patience.py",
        "        if waited > self._remembered(now):\n",
        "        if False:\n",
        "tests/faults/test_slow_line.py",
    ),
    bug(
        "a peer that takes a byte a minute holds a connection for ever",
        "aws/http1/connection.py",
        "if moved < (_ALONE_BYTES if alone else _TRICKLE_BYTES):",
        "if moved < 0:",
        "tests/unit/test_http1.py",
    ),
)
