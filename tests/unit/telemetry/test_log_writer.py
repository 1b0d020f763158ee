"""The log's thread: who logs never waits, what is lost is counted and told, and an end is not held up."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import time
from collections.abc import Iterator

import pytest

from crosshaul.telemetry import log_writer
from crosshaul.telemetry.log_lines import make_line, renderer
from crosshaul.telemetry.log_writer import DescriptorSink, LogWriter, StreamSink

JSON = renderer(console=False, colours=False, for_journal=False)


def line(number: int, **fields: object):
    return make_line("t", "info", {"event": "e", "number": number, **fields})


@contextlib.contextmanager
def pipe(*, blocking: bool = True) -> Iterator[tuple[int, LogWriter]]:
    """The reading end of a full-sized pipe that nobody reads yet, and a writer to it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    with os.fdopen(writing, "w") as stream:
        yield reading, LogWriter(DescriptorSink(stream), JSON)


def read_all(reading: int, writer: LogWriter) -> list[dict[str, object]]:
    """What comes out until the writer has nothing more to write."""
    os.set_blocking(reading, False)
    data = b""
    while True:
        done = writer.flush(0.01)
        with contextlib.suppress(BlockingIOError):
            while part := os.read(reading, 1 << 20):
                data += part
        if done:
            return [json.loads(each) for each in data.splitlines()]


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_that_nobody_reads_blocks_nobody(blocking):
    """Thousands of lines into a full pipe take no time; what had no room is counted, and told once it flows again."""
    with pipe(blocking=blocking) as (reading, writer):
        began = time.monotonic()
        for number in range(20_000):
            writer.put(line(number))
        assert time.monotonic() - began < 5
        assert not writer.flush(0.05)
        assert writer.dropped > 10_000
        events = read_all(reading, writer)
        numbers = [each["number"] for each in events if each["event"] == "e"]
        assert numbers == sorted(numbers)
        assert len(numbers) == 20_000 - writer.dropped
        assert sum(each["lines"] for each in events if each["event"] == "log_lines_dropped") == writer.dropped
        os.close(reading)


def test_what_waits_is_bounded_in_bytes(monkeypatch):
    """Few long lines are as much as many short ones."""
    monkeypatch.setattr(log_writer, "MAX_BYTES", 1 << 20)
    with pipe() as (reading, writer):
        for number in range(100):
            writer.put(line(number, text="x" * 100_000))
        assert writer.dropped >= 80
        read_all(reading, writer)
        os.close(reading)


def test_a_reader_that_left_is_no_error():
    """A closed pipe loses its lines, which are counted; a later put raises nothing."""
    with pipe() as (reading, writer):
        os.close(reading)
        for number in range(10):
            writer.put(line(number))
        assert writer.flush(10)
        assert writer.dropped == 10
        writer.put(line(11))


class Failing(io.StringIO):
    """A stream that can't be written to, until it can."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_is_told_when_there_is_room():
    """Lines that could not be written are told as a count before the next that is."""
    stream = Failing()
    writer = LogWriter(StreamSink(stream), JSON)
    for number in range(3):
        writer.put(line(number))
    assert writer.flush(10)
    stream.full = False
    writer.put(line(3))
    assert writer.flush(10)
    told, last = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert (told["event"], told["level"], told["lines"], last["number"]) == ("log_lines_dropped", "warning", 3, 3)


def test_a_line_that_can_not_be_rendered_ends_no_log():
    """An error in one line costs that line, and the thread goes on."""
    stream = io.StringIO()
    writer = LogWriter(StreamSink(stream), lambda one: JSON(one) if one.fields["number"] else 1 / 0)
    writer.put(line(0))
    assert writer.flush(10)
    writer.render = JSON
    writer.put(line(1))
    assert writer.flush(10)
    assert '"number": 1' in stream.getvalue()


def test_values_are_those_of_the_moment():
    """What is changed after it was logged is told as it was."""
    stream = io.StringIO()
    writer = LogWriter(StreamSink(stream), JSON)
    paused = {"b", "a"}
    writer.put(line(0, routes=sorted(paused), more=paused))
    paused.clear()
    assert writer.flush(10)
    assert sorted(json.loads(stream.getvalue())["more"]) == ["a", "b"]


def test_the_pipe_is_as_large_as_its_bound_supposes():
    """The tests above fill it: it holds fewer lines than are put."""
    with pipe() as (reading, _):
        assert fcntl.fcntl(reading, 1032) <= 1 << 20  # F_GETPIPE_SZ
        os.close(reading)
