"""The real daemon's messages to systemd, over a real datagram socket."""

from __future__ import annotations

import functools
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from crosshaul.telemetry.sd_notify import Notifier
from support.system_fixtures import until

UNITS = Path(__file__).parents[2] / "systemd"
MOST_EXPOSED = 1.5


class Manager:
    """Replaces systemd and records the messages."""

    def __init__(self, address):
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address.replace("@", "\0", 1) if self.address.startswith("@") else self.address)
        self._socket.setblocking(False)
        self.received = []

    def hears(self, pattern):
        """True if a message so far contains the text."""
        try:
            while True:
                self.received.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return any(re.search(pattern, each) for each in self.received)

    def forget(self):
        self.hears("")
        self.received.clear()

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


@pytest.fixture
def site(strict, site_for, manager):
    made = site_for(strict)
    made.environment |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
    return made


def test_a_start_asks_for_time_while_the_journal_is_opened(strict, site, manager):
    """From the first moment the daemon asks for time and says why; then it sends READY=1."""
    with site.daemon():
        until(lambda: manager.hears("READY=1"))
    before = manager.received[: next(number for number, output in enumerate(manager.received) if "READY=1" in output)]
    assert any(output.startswith("EXTEND_TIMEOUT_USEC=") for output in before)
    assert any("opening and checking the journal" in output for output in before)


def test_a_stop_that_cuts_off_is_no_failure_of_the_unit(strict, site, manager):
    """After a stop by the service manager the code is 0, and the log has the uploads that were cut off."""
    site.config["shutdown_timeout"] = "1s"
    site.write()
    strict.fault("stall", "PutObject", rule={"times": None}, seconds=90)
    site.add("file", b"1")
    with site.daemon() as daemon:
        until(lambda: strict.faults()[0]["hits"])
        assert daemon.stop() == 0
        assert daemon.events("stopped")[0]["drained"] is False


def test_it_is_ready_when_the_first_credentials_are_had(strict, site, manager):
    """READY=1 comes with the first session; then there is a status, and the watchdog is fed."""
    strict.fault("delay", "AssumeRole", rule={"times": 1}, seconds=4)
    with site.daemon() as daemon:
        assert not manager.hears("READY=1")
        until(lambda: manager.hears("^READY=1$"))
        assert daemon.event("credentials_renewed")
        until(lambda: manager.hears("^WATCHDOG=1$"))
        until(lambda: manager.hears("^STATUS=Running: 0 files pending, 0 uploading; partner ready.$"))
        assert daemon.stop() == 0


def test_it_is_ready_as_well_when_credentials_are_refused(strict, site, manager):
    """READY=1 comes also if the role is refused, and the status says why."""
    strict.settings(role_exists=False)
    with site.daemon() as daemon:
        until(lambda: manager.hears("^READY=1$"))
        assert daemon.event("credentials_not_renewed")
        assert daemon.stop() == 0


def test_a_process_that_stands_still_feeds_no_watchdog(site, manager):
    """While the process is stopped nothing is sent, so the watchdog is not fed by a timer or another thread."""
    with site.daemon() as daemon:
        until(lambda: manager.hears("WATCHDOG=1"))
        daemon.process.send_signal(signal.SIGSTOP)
        manager.forget()
        time.sleep(2.2)  # longer than the watchdog waits
        assert not manager.hears("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGCONT)
        until(lambda: manager.hears("WATCHDOG=1"))
        assert daemon.stop() == 0


def has_reloads(daemon, count):
    return len(daemon.events("reloaded", "not_reloaded")) == count


def test_a_reload_is_distinguished_from_its_begin_to_its_end(site, manager):
    """A reload sends RELOADING=1 with the monotonic time, then READY=1, for valid and invalid files."""
    with site.daemon() as daemon:
        until(lambda: manager.hears("READY=1"))
        for number, text in enumerate((site.config_file.read_text(), "nonsense: [")):
            manager.forget()
            site.config_file.write_text(text)
            daemon.process.send_signal(signal.SIGHUP)
            until(lambda: manager.hears("^READY=1$"))
            assert manager.hears(r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
            until(functools.partial(has_reloads, daemon, number + 1))
        assert daemon.stop() == 0
    assert [each["event"] for each in daemon.events("reloaded", "not_reloaded")] == ["reloaded", "not_reloaded"]


def test_a_drain_that_gets_on_asks_for_time(strict, site, manager):
    """The daemon sends STOPPING=1 at the signal, and EXTEND_TIMEOUT_USEC while parts arrive; the file is delivered."""
    site.in_parts()
    site.config["transfer"]["memory_limit"] = "5MiB"
    site.config["shutdown_timeout"] = "60s"
    site.write()
    strict.fault("delay", "UploadPart", rule={"times": None}, seconds=0.5)
    site.add("large", bytes(40 << 20))
    with site.daemon() as daemon:
        until(lambda: strict.calls("UploadPart"))
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: manager.hears("^STOPPING=1$"))
        until(lambda: manager.hears("^EXTEND_TIMEOUT_USEC=15000000$"))
        until(lambda: manager.hears("^STATUS=Draining: "))
        assert daemon.wait() == 0
    assert set(strict.objects()) == {"large"}


def test_an_abstract_socket_is_reached(tmp_path):
    """NOTIFY_SOCKET may begin with @, and a missing socket has no effect."""
    manager = Manager(f"@crosshaul-{tmp_path.name}-{time.monotonic_ns()}")
    notifier = Notifier.from_environment(
        {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    )
    notifier.ready()
    assert manager.hears("^READY=1$")
    notifier.close()
    manager.close()
    assert notifier.watchdog_seconds is None  # another process's
    nobody = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    nobody.ready()
    nobody.close()
    assert not Notifier.from_environment({})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
@pytest.mark.parametrize("unit", ["crosshaul.service", "crosshaul@.service"])
def test_the_units_are_confined(unit):
    """Systemd rates each unit's exposure at 1.5 or less, and the unit gives a reason for each open point."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    rated = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert rated is not None, done
    assert float(rated[1]) <= MOST_EXPOSED
    explained = {line.split()[1] for line in (UNITS / unit).read_text().splitlines() if line.startswith("#   ")}
    open_ = {found.split("=")[0] + "=" for found in re.findall(r"^✗ (\S+=)", done.stdout, re.MULTILINE)}
    assert open_ == explained
