"""A real terminal for the tests: a command under a pseudo-terminal of a given size."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

_PATIENCE = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """The command, and its output so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.written = ""
        self._master = master
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the command has ended
            while data := os.read(self._master, 65536):
                self.written += data.decode(errors="replace")

    def shown(self) -> str:
        """Return the output without colours and cursor movements."""
        return _ESCAPES.sub("", self.written)

    def until(self, pattern: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not re.search(pattern, self.shown()):
            assert time.monotonic() < deadline, self.shown()
            time.sleep(0.02)

    def end(self) -> int:
        """Wait for the command's end; return its code."""
        code = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return code


@contextlib.contextmanager
def terminal(*arguments: str, width: int = 100, height: int = 40, **environment: str) -> Iterator[Terminal]:
    """Run ``crosshaul ARGUMENTS`` on a terminal of that size."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    own = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "crosshaul", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=own | {"TERM": "xterm-256color"} | environment,
        start_new_session=True,
    )
    os.close(slave)
    screen = Terminal(process, master)
    try:
        yield screen
    finally:
        process.kill()
        process.wait()
        os.close(master)
