"""A configuration, a directory and a journal for the tests of the commands."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from crosshaul.cli import main
from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import load
from crosshaul.discovery.route_plan import places_of, plans_of
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.journal import Journal
from crosshaul.model import (
    Checksum,
    ChecksumKind,
    Claim,
    Delivered,
    Fingerprint,
    Outcome,
    PlanId,
    Quarantine,
    Receipt,
    Settled,
    Sighting,
)

DENIED = Diagnosis(
    FaultKind.FILE, "KeyTooLongError", "The key is too long", "PutObject", 400, "REQ1", "Shorten the path."
)

CONFIG = """
state_dir: {state}
destinations:
  partner:
    bucket: partner-bucket
    role_arn: arn:aws:iam::706469024316:role/taker
    external_id: hush-hush
routes:
  - name: exports
    path: {root}
    destination: partner
    exclude: ["*.tmp"]
    settle: {{quiet: 2s}}
  - name: inner
    path: {root}/inner
    destination: partner
    key: "inner/{{path}}"
"""


class World:
    """All in one temporary directory; ``run`` is the command line."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.root = directory / "exports"
        (self.root / "inner").mkdir(parents=True)
        self.config = directory / "config.yaml"
        self.plans: dict[str, PlanId] = {}
        self.config.write_text(CONFIG.format(state=self.state, root=self.root))

    def run(self, verb: str, *arguments: str | Path) -> int:
        return main.run([verb, "-c", str(self.config), *map(str, arguments)])

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from crosshaul.cli.main import main; main()", *arguments],
            env={**os.environ, "CROSSHAUL_CONFIG": str(self.config), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def file(self, name: str | bytes, content: bytes = b"content", age: float = 60.0) -> Settled:
        """A file that has stood still for ``age`` seconds, as intake would hand it on."""
        path = self.root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        then = SystemClock().now() - age
        os.utime(path, (then, then))
        raw = os.fsencode(name)
        sighting = Sighting("exports", raw, Fingerprint.of(path.stat()))
        return Settled(sighting, "partner", raw.decode(errors="backslashreplace"))

    def journal(self, write: Callable[[Journal], Awaitable[None]]) -> None:
        """Write to the journal as a daemon would, then stop."""

        async def writing() -> None:
            journal = await Journal.open(self.state, SystemClock())
            config = load(self.config)
            self.plans = await journal.apply_plans(plans_of(config, socket.gethostname()), places_of(config))
            try:
                await write(journal)
            finally:
                await journal.close()

        asyncio.run(writing())

    def admit(self, *settled: Settled, outcome: Callable[[Claim], Outcome] | None = None) -> None:
        """Admit files, and bring those that are due to an outcome."""

        async def write(journal: Journal) -> None:
            await journal.admit([replace(one, plan=self.plans[one.sighting.route]) for one in settled])
            for claim in await journal.claim(["exports", "inner"], 1000) if outcome else []:
                assert outcome is not None
                await journal.finish(claim, outcome(claim))

        self.journal(write)


def delivered(claim: Claim) -> Delivered:
    checksum = Checksum(ChecksumKind.CRC64NVME, "AAAAAAAAAAA=")
    return Delivered(Receipt('"etag"', claim.fingerprint.size, SystemClock().now(), checksum, request_id="REQ7"))


def quarantined(_claim: Claim) -> Quarantine:
    return Quarantine(DENIED)
