"""Checksums over all splits: the checksums of parts combine to that of the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.integrity.checksum import combine, compute
from crosshaul.model import ChecksumKind, Part


@given(st.sampled_from([ChecksumKind.CRC64NVME, ChecksumKind.CRC32]), st.lists(st.binary(max_size=400), min_size=1))
def test_combined_is_the_checksum_of_the_whole(kind, pieces):
    """However a file is split, empty parts included, its parts' checksums combine to the file's."""
    parts = [Part(number, len(data), "", compute(kind, data)) for number, data in enumerate(pieces, 1)]
    assert combine(parts) == compute(kind, b"".join(pieces))


@given(st.binary(min_size=1, max_size=200), st.integers(0), st.integers(0, 7))
def test_one_flipped_bit_shows(data, where, bit):
    """Every kind distinguishes data from the same data with one flipped bit."""
    other = bytearray(data)
    other[where % len(data)] ^= 1 << bit
    for kind in ChecksumKind:
        assert compute(kind, data) != compute(kind, other)
