"""Deliberate bugs in the treatment of delivered files of which only the ctime changed."""

from __future__ import annotations

from bugs import SIMULATION, bug

_UNCHANGED = "tests/faults/test_unchanged.py"
_KEPT = "tests/contract/test_journal_kept_receipts_contract.py"

BUGS = (
    bug(
        "other bytes behind the old size and mtime count as delivered",
        "delivery/ctime_only_change.py",
        "    return await read_checksums(claim, context, (proof.kind,)) == (proof,)",
        "    return bool(await read_checksums(claim, context, (proof.kind,)))",
        SIMULATION,
    ),
    bug(
        "the first bytes that come back are not sent, although others were sent in between",
        "delivery/ctime_only_change.py",
        "    await context.journal.drop_kept_receipt(claim)\n",
        "",
        _UNCHANGED,
    ),
    bug(
        "an object that somebody put over ours is taken for ours",
        "delivery/ctime_only_change.py",
        "head is not None and not matches_receipt(receipt, head)",
        "head is not None and head.size != receipt.size",
        _UNCHANGED,
    ),
    bug(
        "a receipt from before the last change counts for the state after it",
        "journal/sqlite/admission.py",
        "kept_receipt = keeps_key and one.sighting.fingerprint.is_same_but_ctime(rows.fingerprint(record.fingerprint))",
        "kept_receipt = keeps_key",
        _KEPT,
    ),
    bug(
        "hard links, and files after chmod, are sent again",
        "journal/sqlite/queries/intake.sql",
        "iif(state = 'delivered', delivered_at, kept_receipt_at)",
        "NULL",
        _UNCHANGED,
    ),
    bug(
        "a file whose bytes and ctime are others, and whose mtime was put back, is deleted unsent",
        "delivery/after_upload/source_verification.py",
        "        _compare_bytes(source, opened, expected, guard)\n        except ContentChangedError:",
        "        pass\n        except ContentChangedError:",
        "tests/unit/delivery/test_source_removal.py",
    ),
    bug(
        "without a checksum a file that was changed behind its mtime is deleted unsent",
        "delivery/after_upload/source_verification.py",
        "    if fingerprint != expected.fingerprint and not (same and expected.checksum is not None):",
        "    if fingerprint != expected.fingerprint and not same:",
        "tests/unit/delivery/test_source_removal.py",
    ),
)
