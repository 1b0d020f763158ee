"""What the service manager is told: sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells systemd; where there is none to tell, nothing happens. Never blocks, never fails."""

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        # An "@" stands for the null byte of Linux's abstract sockets.
        self._address = "\0" + address[1:] if address and address[0] == "@" else address
        self.watchdog = watchdog
        """Seconds within which systemd wants to hear that all is well; None = it does not."""
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind) if address else None

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """As the environment of a service says (sd_notify(3), sd_watchdog_enabled(3))."""
        usec = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(environment.get("NOTIFY_SOCKET"), int(usec) / 1e6 if usec.isdigit() and ours else None)

    def __bool__(self) -> bool:
        return self._socket is not None

    def ready(self) -> None:
        """Started, or reloaded."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The drain begins."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def well(self) -> None:
        """Keep the watchdog off."""
        self._tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """The stop (or start) takes at least so much longer."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _tell(self, message: str) -> None:
        if self._socket is not None and self._address is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)
