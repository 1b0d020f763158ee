"""Deliberate bugs: trouble that files share, one file's own trouble, and file systems that hang."""

from __future__ import annotations

from bugs import bug

_SHARED = "tests/faults/test_shared_trouble.py"
_UNIT = "tests/unit/test_breaker.py tests/unit/test_canaries.py tests/unit/test_retry.py"

BUGS = (
    bug(
        "an outage is a storm of calls",
        "breaker.py",
        "            return self._trip(Reason.UNREACHABLE, now, jitter)\n",
        "            pass\n",
        _UNIT,
    ),
    bug(
        "a store that throttles some calls is taken for one that is out of reach",
        "breaker.py",
        "now - max(self._taken_at, self._row_began)",
        "now - self._taken_at",
        _UNIT,
    ),
    bug(
        "the canaries of a long outage come as often as at its beginning",
        "breaker.py",
        "max(policy.initial, _SHARE_OF_OUTAGE * (now - self._tripped_at))",
        "policy.initial",
        _UNIT,
    ),
    bug(
        "the pause that the store asks for is kept by one file alone",
        "breaker.py",
        "            self._not_before = max(self._not_before, now + retry_after)\n",
        "            pass\n",
        _UNIT,
    ),
    bug(
        "what waits for a slot goes although the destination takes nothing",
        "slots.py",
        '                waiting.turn.set_exception(HeldBackError("the destination takes nothing for now"))\n',
        "                pass\n",
        "tests/unit/test_slots.py",
    ),
    bug(
        "a file that is denied parks the destination again and again",
        "breaker.py",
        "            known.own = True\n",
        "            pass\n",
        _UNIT,
    ),
    bug(
        "a new file waits for the next canary of a parked destination",
        "dispatcher.py",
        "prompt_at = breaker.prompt_at() if self._arrived else None",
        "prompt_at = None",
        _SHARED,
    ),
    bug(
        "a canary is like the files that were refused",
        "canaries.py",
        "return (min(known[:3]), known, each.large,",
        "return (each.large,",
        _UNIT,
    ),
    bug(
        "a large canary is waited for to its last byte",
        "parts.py",
        "                means.taken(claim)\n",
        "                pass\n",
        _SHARED + " -k first_part",
    ),
    bug(
        "an outage of the store sets files aside",
        "retry.py",
        "_SPEAKS_OF_THE_FILE = frozenset({",
        "_SPEAKS_OF_THE_FILE = frozenset({Kind.THROTTLED, ",
        _UNIT,
    ),
    bug(
        "a volume that is away sets its files aside",
        "retry.py",
        "diagnosis.kind is Kind.LOCAL and diagnosis.code == UNREADABLE",
        "diagnosis.kind is Kind.LOCAL",
        _UNIT,
    ),
    bug(
        "a file that was set aside goes on with an upload that S3 has forgotten",
        "transfer.py",
        "            await self._journal.drop_multipart(claim)  # who",
        "            pass  # who",
        _SHARED + " -k begins_anew",
    ),
    bug(
        "a file system that hangs takes all routes along",
        "reading.py",
        "        reader = self._routes.get(route)\n        if reader is None:\n",
        '        route = "all"\n        reader = self._routes.get(route)\n        if reader is None:\n',
        "tests/unit/test_reading.py",
    ),
    bug(
        "files that failed go before new ones",
        "journal/claims.py",
        "max(kept, limit - len(fresh))",
        "limit",
        "tests/contract/test_journal_transfer_contract.py",
    ),
    bug(
        "a heap of unreadable files is a line each",
        "report.py",
        "            told = doubles(row) if row else doubles(tries)\n",
        "            told = doubles(tries)\n",
        "tests/unit/test_report.py",
    ),
    bug(
        "fetches that hang keep the others of their route waiting for ever",
        "reading.py",
        "partial(cached.fetch, mine.files), stuck)",
        "partial(cached.fetch, mine.files))",
        "tests/outages/test_hung_routes.py -k small",
    ),
    bug(
        "reads behind hung ones wait for ever",
        "reading.py",
        "            self._give_up_queued()\n",
        "            pass\n",
        "tests/unit/test_reading.py",
    ),
    bug(
        "parts take all requests, and small files wait for them",
        "slots.py",
        "if kind is SlotKind.LARGE and mine >= limit - max(1, limit // 4):",
        "if kind is SlotKind.LARGE and mine >= limit:",
        "tests/unit/test_slots.py",
    ),
    bug(
        "files that stall take all requests",
        "slots.py",
        "return self.used < limit and mine < max(1, limit // 4)",
        "return self.used < limit",
        "tests/unit/test_slots.py",
    ),
)
