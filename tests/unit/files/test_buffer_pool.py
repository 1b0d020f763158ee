"""The pool of buffers for large parts."""

from crosshaul.files.buffer_pool import BufferPool


def test_buffers_of_one_length_are_reused():
    """A returned buffer is reused for the same length, and released by a longer request or clear()."""
    buffers = BufferPool()
    first, second = buffers.take(4096), buffers.take(4096)
    first[:5] = b"known"
    buffers.give(second)
    buffers.give(first)
    assert bytes(buffers.take(4096)[:5]) == b"known"
    other = buffers.take(8192)
    buffers.give(other)
    buffers.give(first)
    buffers.clear()
    assert [bytes(buffers.take(length)[:5]) for length in (8192, 4096)] == [bytes(5), bytes(5)]
