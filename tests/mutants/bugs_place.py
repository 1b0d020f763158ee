"""Deliberate bugs in the places of objects, the holders of keys, and files that another configuration queued."""

from __future__ import annotations

from bugs import Bug, bug

_PLACES = "tests/system/test_places.py"

BUGS: tuple[Bug, ...] = (
    bug(
        "after a change of bucket, prefix or template delivered files never reach the new place",
        "journal/sqlite/lookup.py",
        "record.fingerprint != fingerprint or record.plan != plan:",
        "record.fingerprint != fingerprint:",
        f"{_PLACES} -k another_prefix",
    ),
    bug(
        "a destination that is renamed has everything sent again",
        "config/object_place.py",
        "return Place(f\"{address.scheme}://{shown}{port}{address.path.rstrip('/')}\", bucket)",
        "return Place(f\"{id(address)}://{shown}{port}{address.path.rstrip('/')}\", bucket)",
        f"{_PLACES} -k another_name",
    ),
    bug(
        "files that are excluded while they wait are waited for, for ever",
        "discovery/stale_plan_cleanup.py",
        "await self._journal.mark_excluded(self._route, stats.unwanted)",
        "pass",
        f"{_PLACES} -k excluded",
    ),
    bug(
        "a key belongs to its first file for ever, although we deleted that",
        "journal/sqlite/key_assignment.py",
        "(holder_state.source_gone and holder_state.state == State.DELIVERED)",
        "False",
        f"{_PLACES} -k source_is_deleted",
    ),
    bug(
        "after a route was renamed all its files are in conflict with themselves",
        "journal/sqlite/key_assignment.py",
        "holder_state.route_gone or (",
        "(",
        f"{_PLACES} -k renamed_route",
    ),
    bug(
        "after a route was renamed all its files are sent again",
        "journal/sqlite/key_assignment.py",
        "in _MAY_TAKE_RECEIPT and self._is_same_file(one, holder_state)",
        "in _MAY_TAKE_RECEIPT and not holder_state.root",
        f"{_PLACES} -k renamed_route",
    ),
    bug(
        "of two destinations that are one bucket one file is written over the other's, and both sources are deleted",
        "config/bucket_config.py",
        "return place_at(self.endpoint_url, self.region, self.bucket)",
        "return place_at(self.endpoint_url, self.region, f'{self.bucket} {self.name}')",
        f"{_PLACES} -k one_bucket",
    ),
    bug(
        "a file whose upload a reload cuts off stays on its way until the next start",
        "service/runtime.py",
        "await self.journal.reclaim(tuple(self.in_transit))",
        "pass",
        f"{_PLACES} -k taken_over",
    ),
)
