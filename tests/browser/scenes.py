"""Scenes for the status page: a real daemon and account in several situations."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.partner_fixtures import PartnerProcess, partner_process
from support.system_fixtures import Daemon, Site, made_for, until

MIB = 1 << 20


@dataclass
class Stage:
    """A daemon that serves its page."""

    account: PartnerProcess
    site: Site
    daemon: Daemon

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.daemon.event('listening')['port']}/"

    def deliver(self, *names: str) -> None:
        """Add files, and wait until they are in the bucket."""
        for name in names:
            self.site.add(name, b"content of " + name.encode())
        until(lambda: self.site.status()["delivered"] >= len(names))


@contextlib.contextmanager
def daemon(home: Path, prepare: Callable[[Site], None] = lambda _site: None, **http: Any) -> Iterator[Stage]:
    """Run a daemon with two routes; ``prepare`` may change its configuration, keyword arguments go into ``http``."""
    with partner_process(spool=home / "spool", session_seconds=3600) as account:
        site = made_for(account, home / "site", name="exports")
        site.under = [sys.executable, str(Path(__file__).with_name("quick.py"))]
        site.config["http"] = {"listen": "127.0.0.1:0", **http}
        (site.home / "invoices").mkdir()
        site.config["routes"].append(
            {
                "name": "invoices",
                "path": str(site.home / "invoices"),
                "key": "invoices/{name}",
                "settle": {"quiet": "0s"},
            }
        )
        prepare(site)
        site.write()
        with site.daemon() as running:
            yield Stage(account, site, running)


@contextlib.contextmanager
def healthy(home: Path, seconds: float = 0) -> Iterator[Stage]:
    """Deliver files for this many seconds, until everything is delivered."""
    with daemon(home) as stage:
        stage.deliver("2026/november/orders.csv", "2026/november/stock.csv", "readme.txt")
        _busy(stage, seconds)
        until(lambda: stage.site.status()["pending"] + stage.site.status()["uploading"] == 0)
        yield stage


def _busy(stage: Stage, seconds: float, unit: int = 20_000) -> None:
    """Add files of up to 50 units in waves."""
    ends, number = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        for _ in range(number * number % 17):
            number += 1
            stage.site.add(f"2026/november/batch-{number // 100}/part-{number}.csv", bytes(number % 50 * unit))
        number += 1
        time.sleep(0.25)


def _slow(site: Site) -> None:
    site.in_parts()
    site.config["transfer"] |= {"bandwidth": "6MiB/s", "max_concurrency": 3}


@contextlib.contextmanager
def backlog(home: Path, seconds: float = 0) -> Iterator[Stage]:
    """Add more files than the bandwidth allows, and two files with the same key."""
    with daemon(home, _slow) as stage:
        _busy(stage, seconds, 2_000)
        for name in ("november", "december"):
            (stage.site.home / "invoices" / name).mkdir()
            (stage.site.home / "invoices" / name / "4711.pdf").write_bytes(b"an invoice")
        for number in range(4):
            stage.site.add(f"video/camera-{number + 1}.mp4", bytes(60 * MIB))
        for number in range(300):
            stage.site.add(f"2026/november/orders-{number:03}.csv", bytes(150_000))
        until(lambda: len(stage.account.calls("UploadPart")) > 3)
        until(lambda: stage.site.status()["quarantined"] == 1)
        time.sleep(seconds / 12)
        yield stage


@contextlib.contextmanager
def partner_down(home: Path, seconds: float = 0) -> Iterator[Stage]:
    """Stop the partner's account while files are added."""
    with daemon(home) as stage:
        stage.deliver("2026/november/orders.csv")
        _busy(stage, seconds)
        until(lambda: stage.site.status()["pending"] + stage.site.status()["uploading"] == 0)
        stage.account.process.terminate()
        for number in range(7):
            stage.site.add(f"2026/november/late-{number}.csv", b"late")
        until(lambda: stage.daemon.events("upload_failed"))
        time.sleep(seconds / 3)
        yield stage


SCENES = {"healthy": healthy, "backlog": backlog, "partner-down": partner_down}
