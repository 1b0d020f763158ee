"""Bugs in what has to hold after an upload, around it and in its place."""

from __future__ import annotations

from bugs import Bug, bug

_AFTER = "tests/unit/delivery/test_after_upload.py"

BUGS: tuple[Bug, ...] = (
    bug(
        "a source goes although its object was replaced since",
        "delivery/after_upload/object_check.py",
        "        return self._is_replaced(task, held)\n",
        "        return None\n",
        f"{_AFTER} -k without_if_match",
    ),
    bug(
        "a source goes although the store could not be asked",
        "delivery/after_upload/object_check.py",
        '            return _stays(task, "SourceKept", f',
        '            return None and _stays(task, "SourceKept", f',
        f"{_AFTER} -k without_if_match",
    ),
    bug(
        "a store counts as keeping If-Match before it was seen to",
        "aws/conditional_writes.py",
        "return bool(self.match_honoured) and",
        "return self.match_honoured is not False and",
        f"{_AFTER} -k without_if_match",
    ),
)
