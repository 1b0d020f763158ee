"""The split of a large file into parts (Amazon S3 User Guide, "Multipart upload limits")."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.delivery.multipart import part_size

MIB = 1 << 20


@given(size=st.integers(1, 5 * 1024 * 1024 * MIB), wanted=st.integers(5, 5 * 1024).map(lambda mib: mib * MIB))
def test_no_file_has_more_than_ten_thousand_parts_and_none_smaller_than_asked_for(size: int, wanted: int):
    """Parts have the wanted size, or the smallest number of MiB that keeps the file within 10,000 parts."""
    each = part_size(size, wanted)
    assert -(-size // each) <= 10_000
    assert each >= wanted
    if each != wanted:
        assert each % MIB == 0
        assert -(-size // (each - MIB)) > 10_000
