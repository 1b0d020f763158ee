"""Deliberate bugs that only the simulation detects."""

from __future__ import annotations

from bugs import bug

BUGS = (
    bug(
        "a close that hangs passes for a thread that can still read, and a hung route holds up its neighbours",
        "files/reader.py",
        "self._closing.begin(source.close)",
        "self.threads._threads.begin(source.close)",
    ),
    bug(
        "files that wait for their turn to be fetched hold their workers for as long as a fetch hangs",
        "files/reader.py",
        "            mine.over.set()\n            turn.end()\n            on_stuck()\n",
        "            mine.over.set()\n            on_stuck()\n",
    ),
    bug(
        "claims whose reads hang take the room of those that could be sent",
        "delivery/lookahead.py",
        "        self._min_capacity += CLAIMS_PER_WORKER\n        self._capacity += CLAIMS_PER_WORKER\n",
        "",
    ),
)
