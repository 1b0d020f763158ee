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
)
