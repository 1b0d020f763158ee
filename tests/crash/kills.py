"""Kill the daemon at random moments, again and again, while files come, change and go; then let it rest, and look.

    python tests/crash/kills.py [--kills N] [--seed S]

What must hold: every file's last state is in the bucket, nothing there is a state that its file never had, and a source
goes only when its object is there. Bodies that went twice are counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lives import configuration, credentials, integrity, life, unfinished

from support.partner_fixtures import PartnerProcess, partner_process

_MIB = 1 << 20
_LOOK_EVERY = 50
_PATIENCE = 120.0


class Writers:
    """Makes, changes and renames files in two routes, one that keeps its sources and one that deletes them."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self._home = home
        self._chance = chance
        self._number = 0
        self.states: dict[str, list[str]] = defaultdict(list)
        """Key -> SHA-256 of each state that its file had, the last one last."""

    def write(self) -> None:
        """Do one thing that a writer does."""
        self._number += 1
        route = self._chance.choice(["keep", "keep", "delete"])
        name = f"{route}/{self._chance.choice('abcdefghij')}{self._number // 40}"
        size = self._chance.choice([0, 10, 4_000, 300_000, 11 * _MIB]) if self._number % 20 == 0 else 1_000
        data = self._chance.randbytes(size) + b"%d" % self._number
        path = self._home / name
        # Noted first: the daemon may be quicker than this process.
        self.states[name].append(hashlib.sha256(data).hexdigest())
        if self._chance.random() < 0.5:
            draft = self._home / "drafts"
            draft.write_bytes(data)
            draft.rename(path)
        else:
            path.write_bytes(data)

    def missing(self) -> list[str]:
        """Return the files that are no longer there."""
        return [name for name in self.states if not (self._home / name).exists()]


def wrong(account: PartnerProcess, writers: Writers, *, finally_: bool) -> list[str]:
    """Return what violates the rules."""
    missing = set(writers.missing())  # read before the bucket, whose objects only increase
    held, faults = account.objects(sha256=True), []
    for name, states in writers.states.items():
        digest = held.get(name, {}).get("sha256")
        if digest is not None and digest not in states and digest not in _partly_written(states):
            faults.append(f"{name} is torn")
        if (finally_ or name in missing) and digest != states[-1]:
            faults.append(f"{name}: its last state is not in the bucket")
    return faults


def _partly_written(_: list[str]) -> set[str]:
    """True for an empty file, the state between open and write."""
    return {hashlib.sha256(b"").hexdigest()}


def main() -> int:
    """Kill the daemon this many times; return 1 if anything was lost or torn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as directory, partner_process(spool=Path(directory, "spool")) as account:
        home = Path(directory)
        config, routes = home / "config.json", {"keep": {}, "delete": {"after_upload": "delete"}}
        for name in routes:
            (home / name).mkdir()
        config.write_text(json.dumps(configuration(account, home, "", routes)))
        writers, faults = Writers(home, chance), list[str]()
        for number in range(1, options.kills + 1):
            with life(config, home / "log", credentials(account)) as born:
                _write_for(writers, chance.uniform(0.05, 0.9), chance)
                if born.end(signal.SIGKILL) != -signal.SIGKILL:
                    faults.append(f"life {number} ended without a kill")
            if number % _LOOK_EVERY == 0:
                faults += wrong(account, writers, finally_=False)
                print(f"{number} kills, {len(writers.states)} files, {len(faults)} faults", flush=True)
        with life(config, home / "log", credentials(account)) as born:
            _rest(home, writers)
            faults += [] if born.end(signal.SIGTERM) == 0 else ["the last life did not drain"]
        faults += wrong(account, writers, finally_=True)
        faults += [] if integrity(home / "state") == "ok" else ["the journal is damaged"]
        _tell(account, writers, options.kills, faults)
    return 1 if faults else 0


def _write_for(writers: Writers, seconds: float, chance: random.Random) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        writers.write()
        time.sleep(min(left, chance.expovariate(15)))


def _rest(home: Path, writers: Writers) -> None:
    """Wait until no upload is running, and no source is left that has to be removed."""
    end, quiet = time.monotonic() + _PATIENCE, 0
    while quiet < 5:
        busy = unfinished(home / "state") or any((home / "delete").iterdir())
        quiet = 0 if busy else quiet + 1
        if time.monotonic() > end:
            raise AssertionError(
                f"not at rest after {_PATIENCE} s: {unfinished(home / 'state')[:5]}, {len(writers.states)} files"
            )
        time.sleep(0.3)


def _tell(account: PartnerProcess, writers: Writers, kills: int, faults: list[str]) -> None:
    writes = sum(each["writes"] for each in account.objects().values())
    states = sum(len(each) for each in writers.states.values())
    twice = {name: each["writes"] - len(writers.states[name]) for name, each in account.objects().items()}
    again = sum(count for count in twice.values() if count > 0)
    for fault in faults:
        print(fault)
    print(f"{kills} kills, {len(writers.states)} files in {states} states, {writes} objects written,")
    print(f"{again} more often than their file changed; lost or torn: {len(faults)}")
    print(f"{kills if not faults else 0} passed, {len(faults)} failed")


if __name__ == "__main__":
    sys.exit(main())
