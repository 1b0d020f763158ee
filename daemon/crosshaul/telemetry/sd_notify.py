"""Messages to the service manager: sd_notify(3), datagrams to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends messages to systemd; does nothing where there is no service manager. Never blocks, never fails."""

    def __init__(self, address: str | None, watchdog_seconds: float | None = None) -> None:
        # An "@" stands for the null byte of Linux's abstract sockets.
        self._address = "\0" + address[1:] if address and address[0] == "@" else address
        self.watchdog_seconds = watchdog_seconds
        """Longest interval between two calls of ``keep_alive`` that systemd accepts; None = no watchdog."""
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind) if address else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """Return the notifier for a service's environment (sd_notify(3), sd_watchdog_enabled(3))."""
        usec = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(environment.get("NOTIFY_SOCKET"), int(usec) / 1e6 if usec.isdigit() and ours else None)

    def __bool__(self) -> bool:
        return self._socket is not None

    def ready(self) -> None:
        """Report that the start or the reload is complete."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that a reload begins; ``ready`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the drain begins."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={' '.join(text.split())}")

    def keep_alive(self) -> None:
        """Reset the watchdog."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for that much more time for the start or the stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def _send(self, message: str) -> None:
        if self._socket is not None and self._address is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)
