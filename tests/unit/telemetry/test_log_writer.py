"""The log's thread: no caller waits, lost lines are counted and logged, and exit is not delayed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from crosshaul.telemetry import log_writer
from crosshaul.telemetry.log_lines import LogLine, make_line, renderer
from crosshaul.telemetry.log_writer import DescriptorSink, LogWriter, StreamSink

JSON = renderer(console=False, colours=False, for_journal=False)


def line(number: int, **fields: object):
    return make_line("t", "info", {"event": "e", "number": number, **fields})


@contextlib.contextmanager
def pipe(*, blocking: bool = True) -> Iterator[tuple[int, LogWriter]]:
    """Yield the reading end of a pipe that nobody reads yet, and a writer to it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    with os.fdopen(writing, "w") as stream:
        yield reading, LogWriter(DescriptorSink(stream), JSON)


def read_all(reading: int, writer: LogWriter) -> list[dict[str, Any]]:
    """Read until the writer has written everything."""
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
    """Thousands of lines into a full pipe block no caller; lost lines are counted, and logged once it is read."""
    with pipe(blocking=blocking) as (reading, writer):
        began = time.monotonic()
        for number in range(20_000):
            writer.put(line(number))
        assert time.monotonic() - began < 60
        assert not writer.flush(0.05)
        assert writer.dropped > 10_000
        events = read_all(reading, writer)
        numbers = [each["number"] for each in events if each["event"] == "e"]
        assert numbers == sorted(numbers)
        assert len(numbers) == 20_000 - writer.dropped
        assert sum(each["lines"] for each in events if each["event"] == "log_lines_dropped") == writer.dropped
        os.close(reading)


def test_what_waits_is_bounded_in_bytes(monkeypatch):
    """The queue is bounded in bytes, not only in lines."""
    monkeypatch.setattr(log_writer, "MAX_BYTES", 1 << 20)
    with pipe() as (reading, writer):
        for number in range(100):
            writer.put(line(number, text="x" * 100_000))
        assert writer.dropped >= 80
        read_all(reading, writer)
        os.close(reading)


def test_a_reader_that_left_is_no_error():
    """Lines to a closed pipe are lost and counted; a later put raises nothing."""
    with pipe() as (reading, writer):
        os.close(reading)
        for number in range(10):
            writer.put(line(number))
        assert writer.flush(10)
        assert writer.dropped == 10
        writer.put(line(11))


class Failing(io.StringIO):
    """A stream that can't be written to until it is repaired."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_is_reported_when_there_is_room():
    """Lines that could not be written are logged as a count before the next line."""
    stream = Failing()
    writer = LogWriter(StreamSink(stream), JSON)
    for number in range(3):
        writer.put(line(number))
    assert writer.flush(10)
    stream.full = False
    writer.put(line(3))
    assert writer.flush(10)
    output, last = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert (output["event"], output["level"], output["lines"], last["number"]) == ("log_lines_dropped", "warning", 3, 3)


def test_a_line_that_can_not_be_rendered_ends_no_log():
    """A line that can't be rendered is lost, and the thread continues."""
    stream = io.StringIO()

    def failing(one: LogLine) -> str:
        if one.fields["number"] == 0:
            raise ZeroDivisionError
        return JSON(one)

    writer = LogWriter(StreamSink(stream), failing)
    writer.put(line(0))
    assert writer.flush(10)
    writer.render = JSON
    writer.put(line(1))
    assert writer.flush(10)
    assert '"number": 1' in stream.getvalue()


def test_values_are_those_of_the_moment():
    """A value that changes after it was logged is written as it was."""
    stream = io.StringIO()
    writer = LogWriter(StreamSink(stream), JSON)
    paused = {"b", "a"}
    writer.put(line(0, routes=sorted(paused), more=paused))
    paused.clear()
    assert writer.flush(10)
    assert sorted(json.loads(stream.getvalue())["more"]) == ["a", "b"]


def test_the_pipe_is_as_large_as_its_bound_supposes():
    """The pipe holds fewer lines than the tests above write."""
    with pipe() as (reading, _):
        assert fcntl.fcntl(reading, 1032) <= 1 << 20  # F_GETPIPE_SZ
        os.close(reading)
