"""Deliberate bugs in the work after an upload."""

from __future__ import annotations

from bugs import Bug, bug

_AFTER = "tests/unit/delivery/after_upload/test_source_finisher.py"
_ABANDONED = "tests/unit/delivery/test_abandoned_uploads.py"
_LOST = "tests/unit/delivery/test_lost_claims.py"

BUGS: tuple[Bug, ...] = (
    bug(
        "a source goes although its object was replaced since",
        "delivery/after_upload/object_check.py",
        "        return self._replaced(task, head)\n",
        "        return None\n",
        f"{_AFTER} -k without_if_match",
    ),
    bug(
        "a source goes although the store could not be asked",
        "delivery/after_upload/object_check.py",
        '            return _kept(task, "SourceKept", f',
        '            return None and _kept(task, "SourceKept", f',
        f"{_AFTER} -k without_if_match",
    ),
    bug(
        "a store counts as keeping If-Match before it was seen to",
        "aws/conditional_writes.py",
        "return bool(self.match_honoured) and",
        "return self.match_honoured is not False and",
        f"{_AFTER} -k without_if_match",
    ),
    bug(
        "a file that nobody sends waits for a restart",
        "delivery/lost_claims.py",
        "        if lost and (released :=",
        "        if not lost and (released :=",
        f"{_LOST} -k nobody_holds",
    ),
    bug(
        "a file that is being sent is taken from its sender",
        "delivery/lost_claims.py",
        "{claim for claim in claims if claim.id not in held}",
        "set(claims)",
        f"{_LOST} -k slow",
    ),
    bug(
        "a file that was claimed again is taken from its sender",
        "journal/sqlite/queries/recovery.sql",
        "AND claimed = ?3 AND changed_at = ?4",
        "AND claimed = ?3 AND coalesce(?4, 1)",
        f"{_LOST} -k claimed_again",
    ),
    bug(
        "parts of a file that changed while it waited stay in the bucket",
        "journal/sqlite/admission.py",
        "            abandoned.abandon(connection, self.restarted)\n",
        "            pass\n",
        f"{_ABANDONED} -k journal_drops",
    ),
    bug(
        "an upload is aborted in another bucket than it was begun in",
        "journal/sqlite/queries/abandoned.sql",
        "WHERE endpoint = ? AND bucket = ? AND abandoned.due_at",
        "WHERE coalesce(?, ?, 1) <> 2 AND abandoned.due_at",
        f"{_ABANDONED} -k journal_drops",
    ),
    bug(
        "an upload is aborted under the try that is at it",
        "journal/sqlite/queries/abandoned.sql",
        "    AND NOT coalesce(files.state = 'uploading' AND files.claimed = abandoned.claimed, 0)\n",
        "",
        f"{_ABANDONED} -k under_a_claim",
    ),
    bug(
        "the parts of a route that is taken out for an hour are thrown away",
        "journal/sqlite/abandoned.py",
        "_UNROUTED_SECONDS = 86_400.0",
        "_UNROUTED_SECONDS = 3_600.0",
        f"{_ABANDONED} -k gone_for_a_day",
    ),
    bug(
        "what a removed route is sending replaces what its successor sent",
        "service/pipeline_builder.py",
        "        return not stay.issuperset(self._runtime.routes_of(name))\n",
        "        moved = {route.name for route in self._config.routes} - stay\n"
        "        return bool(moved.intersection(self._runtime.routes_of(name)))\n",
        "tests/system/test_places.py -k replaced_route",
    ),
)
