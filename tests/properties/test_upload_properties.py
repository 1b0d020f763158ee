"""How a large file is cut into parts (Amazon S3 User Guide, "Multipart upload limits")."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.delivery.multipart import part_size

MIB = 1 << 20


@given(size=st.integers(1, 5 * 1024 * 1024 * MIB), wanted=st.integers(5, 5 * 1024).map(lambda mib: mib * MIB))
def test_no_file_has_more_than_ten_thousand_parts_and_none_smaller_than_asked_for(size: int, wanted: int):
    """Parts are of the wanted size unless that makes more than 10,000; then of the next whole MiB that doesn't."""
    each = part_size(size, wanted)
    assert -(-size // each) <= 10_000
    assert each >= wanted
    if each != wanted:
        assert each % MIB == 0
        assert -(-size // (each - MIB)) > 10_000
