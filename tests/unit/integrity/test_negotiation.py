"""The checksum that a store is sent, after each echo and each refusal."""

from __future__ import annotations

import pytest

from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.model import ChecksumKind

CRC64, CRC32, MD5 = ChecksumKind.CRC64NVME, ChecksumKind.CRC32, ChecksumKind.MD5


def test_until_confirmed_md5_is_sent_as_well():
    """A new store is sent the best checksum, and MD5, which every store checks."""
    negotiator = ChecksumNegotiator()
    assert negotiator.kinds() == (CRC64, MD5)
    assert negotiator.confirmed is None


def test_an_echo_confirms():
    """Once the store has echoed a checksum, only that one is sent, and the confirmation is returned once."""
    negotiator = ChecksumNegotiator()
    assert negotiator.record_echo(CRC64, CRC64) is True
    assert negotiator.record_echo(CRC64, CRC64) is False
    assert negotiator.kinds() == (CRC64,)
    assert negotiator.confirmed is CRC64


def test_ignored_checksums_are_not_sent_again():
    """A store that echoes nothing ends at Content-MD5, one checksum after the other."""
    negotiator = ChecksumNegotiator()
    assert negotiator.record_echo(CRC64, None) is False
    assert negotiator.record_echo(CRC64, None) is False
    assert negotiator.kinds() == (CRC32, MD5)
    assert negotiator.record_echo(CRC32, CRC64) is True
    assert negotiator.confirmed is MD5
    assert negotiator.kinds() == (MD5,)
    assert negotiator.record_echo(MD5, None) is False


def test_refusals_end_at_md5():
    """Each refusal of an unconfirmed checksum leads to the next one; after MD5 there is none."""
    negotiator = ChecksumNegotiator()
    assert [negotiator.record_refusal(CRC64), negotiator.record_refusal(CRC32), negotiator.record_refusal(MD5)] == [
        True,
        True,
        False,
    ]
    assert negotiator.preferred is MD5


def test_a_late_refusal_of_an_abandoned_checksum():
    """An upload that was in flight with an earlier checksum is sent again with the preferred one."""
    negotiator = ChecksumNegotiator()
    negotiator.record_refusal(CRC64)
    assert negotiator.record_refusal(CRC64) is True
    assert negotiator.preferred is CRC32


def test_one_refusal_does_not_drop_a_confirmed_checksum():
    """A confirmed checksum is dropped only if it is refused again before it is echoed again."""
    negotiator = ChecksumNegotiator(CRC64)
    assert negotiator.record_refusal(CRC64) is False
    assert negotiator.kinds() == (CRC64, MD5)
    assert negotiator.record_echo(CRC64, CRC64) is True
    assert negotiator.record_refusal(CRC64) is False
    assert negotiator.record_refusal(CRC64) is True
    assert negotiator.preferred is CRC32


def test_another_store_behind_the_name():
    """If a store stops echoing the confirmed checksum, MD5 is sent as well from the next upload on."""
    negotiator = ChecksumNegotiator(CRC64)
    assert negotiator.record_echo(CRC64, None) is False
    assert negotiator.kinds() == (CRC64, MD5)


@pytest.mark.parametrize("kind", list(ChecksumKind))
def test_a_checksum_from_the_journal_is_used_at_once(kind):
    """A negotiator that is created with a confirmed checksum sends only that one."""
    assert ChecksumNegotiator(kind).kinds() == (kind,)
    assert ChecksumNegotiator(kind).confirmed is kind
