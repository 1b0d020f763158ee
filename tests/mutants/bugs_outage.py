"""Deliberate bugs in outages: faults of all files, faults of one file, and file systems that hang."""

from __future__ import annotations

from bugs import bug

_SHARED = "tests/faults/test_shared_trouble.py"
_UNIT = (
    "tests/unit/delivery/test_breaker.py tests/unit/delivery/test_canary_schedule.py "
    "tests/unit/journal/test_canary_choice.py tests/unit/delivery/test_retry.py"
)

BUGS = (
    bug(
        "an outage is a storm of calls",
        "delivery/breaker.py",
        "            return self._trip(TripReason.UNREACHABLE, now, jitter)\n",
        "            pass\n",
        _UNIT,
    ),
    bug(
        "a store that throttles some calls is taken for one that is out of reach",
        "delivery/breaker.py",
        "now - max(last_success_at, self._silent_since)",
        "now - last_success_at",
        _UNIT,
    ),
    bug(
        "the canaries of a long outage come as often as at its beginning",
        "delivery/canary_schedule.py",
        "max(policy.initial, _GAP_SHARE * (now - self._started_at))",
        "policy.initial",
        _UNIT,
    ),
    bug(
        "the pause that the store asks for is kept by one file alone",
        "delivery/breaker.py",
        "            self.canaries.postpone(now + retry_after)\n",
        "            pass\n",
        _UNIT,
    ),
    bug(
        "what waits for a slot goes although the destination takes nothing",
        "concurrency/request_slots.py",
        '                waiting.turn.set_exception(HeldBackError("the destination accepts no files at the moment"))\n',
        "                pass\n",
        "tests/unit/concurrency/test_request_slots.py",
    ),
    bug(
        "a file that is denied parks the destination again and again",
        "delivery/refusal_history.py",
        "            known.file_specific = True\n",
        "            pass\n",
        _UNIT,
    ),
    bug(
        "a new file waits for the next canary of a parked destination",
        "delivery/dispatcher.py",
        "arrival_at = breaker.canaries.next_arrival_at() if self._has_arrivals else None",
        "arrival_at = None",
        _SHARED,
    ),
    bug(
        "a canary is like the files that were refused",
        "journal/canary_choice.py",
        "return (min(refused[:3]), refused, file.large,",
        "return (file.large,",
        _UNIT,
    ),
    bug(
        "a good file that failed by chance waits for all refused files",
        "journal/canary_choice.py",
        "return _best(failed, criteria, newest=False)",
        "return min(failed, key=lambda file: (file.due_at, file.id))",
        _UNIT,
    ),
    bug(
        "a good file behind twenty refused ones is never the canary",
        "journal/sqlite/canary.py",
        '("canaries_oldest", True, 200)',
        '("canaries_oldest", True, 20)',
        "tests/contract/test_journal_transfer_contract.py -k canary",
    ),
    bug(
        "a large canary is waited for to its last byte",
        "delivery/multipart.py",
        "                context.on_request_accepted(claim)\n",
        "                pass\n",
        _SHARED + " -k first_part",
    ),
    bug(
        "an outage of the store sets files aside",
        "delivery/retry.py",
        "    {FaultKind.CORRUPT, FaultKind.RESTART_UPLOAD,",
        "    {FaultKind.THROTTLED, FaultKind.CORRUPT, FaultKind.RESTART_UPLOAD,",
        _UNIT,
    ),
    bug(
        "a volume that is away sets its files aside",
        "delivery/retry.py",
        "diagnosis.kind is FaultKind.LOCAL and diagnosis.code == UNREADABLE",
        "diagnosis.kind is FaultKind.LOCAL",
        _UNIT,
    ),
    bug(
        "a file that was set aside continues an upload that S3 has forgotten",
        "delivery/workers.py",
        "            await self._journal.drop_multipart(claim)  # `retry`",
        "            pass  # `retry`",
        _SHARED + " -k begins_again",
    ),
    bug(
        "a file system that hangs takes all routes along",
        "files/reader.py",
        "        reader = self._routes.get(route)\n        if reader is None:\n",
        '        route = "all"\n        reader = self._routes.get(route)\n        if reader is None:\n',
        "tests/unit/files/test_reader.py",
    ),
    bug(
        "files that failed go before new ones",
        "journal/sqlite/claims.py",
        "max(kept, limit - len(fresh))",
        "limit",
        "tests/contract/test_journal_transfer_contract.py",
    ),
    bug(
        "a heap of unreadable files is a line each",
        "delivery/reporter.py",
        "            should_log = is_power_of_two(streak) if streak else is_power_of_two(tries)\n",
        "            should_log = is_power_of_two(tries)\n",
        "tests/unit/delivery/test_reporter.py",
    ),
    bug(
        "fetches that hang keep the others of their route waiting for ever",
        "files/reader.py",
        "partial(page_cache_read.fetch, mine.files), stuck)",
        "partial(page_cache_read.fetch, mine.files))",
        "tests/outages/test_hung_routes.py -k small",
    ),
    bug(
        "reads behind hung ones wait for ever",
        "files/read_threads.py",
        "            self._give_up_queued()\n",
        "            pass\n",
        "tests/unit/files/test_reader.py",
    ),
    bug(
        "parts take all requests, and small files wait for them",
        "concurrency/request_slots.py",
        "if kind is SlotKind.LARGE and mine >= limit - max(1, limit // 4):",
        "if kind is SlotKind.LARGE and mine >= limit:",
        "tests/unit/concurrency/test_request_slots.py",
    ),
    bug(
        "files that stall take all requests",
        "concurrency/request_slots.py",
        "return self.used < limit and mine < max(1, limit // 4)",
        "return self.used < limit",
        "tests/unit/concurrency/test_request_slots.py",
    ),
)
