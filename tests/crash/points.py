"""Kill the daemon at every point where its state changes, start it again, and see that nothing is lost or torn.

    python tests/crash/points.py [--only TEXT] [--passings N]

The points are found by a life that is left alone (doom.py), so that a new kind of journal work or of call is tried
without anybody having to think of it. Each point is one line: what the kill cost, or what went wrong.
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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from doom import Doom
from lives import configuration, credentials, integrity, life, unfinished

from support.partner_fixtures import PartnerProcess, partner_process

MIB = 1 << 20
_PATIENCE = 40.0
_LARGE = random.Random(3).randbytes(11 * MIB)
FILES = {
    "keep/small": b"small",
    "keep/large": _LARGE,
    "keep/throttled": b"503 at first",
    "keep/refused": b"403 at first: the destination is parked",
    "keep/poor": b"400 at first: set aside",
    "keep/changing": b"as it was",
    "delete/small": b"to be deleted",
    "delete/large": _LARGE[::-1],
    "move/small": b"to be moved",
    "never/small": b"only if new",
    "never/large": _LARGE[1:] + b"x",
}
_CHANGED = b"as it is now, and stays"


@dataclass
class World:
    """One point's files, state and prefix in the bucket."""

    account: PartnerProcess
    home: Path
    prefix: str

    @property
    def config(self) -> Path:
        return self.home / "config.json"

    @property
    def trace(self) -> Path:
        return self.home / "trace"

    def prepare(self) -> None:
        """Make files and configuration, and script a fault for some files."""
        routes: dict[str, dict[str, object]] = {
            "keep": {},
            "delete": {"after_upload": "delete"},
            "move": {"after_upload": {"move_to": str(self.home / "moved")}},
            "never": {"overwrite": "never"},
        }
        for name, data in FILES.items():
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.config.write_text(json.dumps(configuration(self.account, self.home, self.prefix, routes)))
        for name, status, code in (
            ("throttled", 503, "SlowDown"),
            ("refused", 403, "AccessDenied"),
            ("poor", 400, "KeyTooLongError"),
        ):
            rule = {"key": f"{self.prefix}keep/{name}"}
            self.account.fault("error", "PutObject", rule=rule, status=status, code=code)
        self.account.fault("delay", "PutObject", rule={"key": f"{self.prefix}keep/changing"}, seconds=0.4)

    def last_words(self) -> str:
        """Return the last lines of the daemon's log."""
        return " ".join((self.home / "log").read_text().splitlines()[-3:])

    def wanted(self) -> dict[str, str]:
        """Return key -> SHA-256 of what has to be in the bucket in the end."""
        last = FILES | {"keep/changing": _CHANGED}
        return {self.prefix + name: hashlib.sha256(data).hexdigest() for name, data in last.items()}

    def held(self) -> dict[str, dict[str, Any]]:
        """Return what is in the bucket of this world."""
        objects = self.account.objects(sha256=True)
        return {key: each for key, each in objects.items() if key.startswith(self.prefix)}

    def change(self) -> None:
        """Change the file while it is sent, after, or before, depending on the moment."""
        (self.home / "keep/changing").write_bytes(_CHANGED)

    def live(self, doom: Doom | None, until: Callable[[], bool]) -> int:
        """Run one life and return its end. The file changes once the life has had time to claim it."""
        began = time.monotonic()
        prepare = None if doom is None else doom.lay
        with life(self.config, self.home / "log", credentials(self.account), prepare) as born:
            while not born.over() and not until():
                if doom is not None and time.monotonic() - began > 0.7:
                    self.change()
                    doom = None
                if time.monotonic() - began > _PATIENCE:
                    raise AssertionError(f"not at rest after {_PATIENCE} s: {unfinished(self.home / 'state')}")
                time.sleep(0.03)
            return born.end(signal.SIGTERM)

    def at_rest(self) -> bool:
        """True if the journal says that all is done, sources included."""
        if not (self.home / "state/journal.db").exists():
            return False
        try:
            rest = [each for each in unfinished(self.home / "state") if not each[0].endswith("poor")]
        except Exception:  # noqa: BLE001 - the schema is being made
            return False
        return not rest and self._all_known() and not (self.home / "delete/small").exists()

    def _all_known(self) -> bool:
        held = self.account.objects(sha256=True)
        wanted = self.wanted()
        return all(held.get(key, {}).get("sha256") == wanted[key] for key in wanted if not key.endswith("poor"))

    def wrong(self) -> list[str]:
        """Return every violation: torn objects, sources that went without a receipt, a broken journal."""
        held, faults = self.held(), []
        allowed = {self.prefix + name: {hashlib.sha256(data).hexdigest()} for name, data in FILES.items()}
        allowed[f"{self.prefix}keep/changing"].add(hashlib.sha256(_CHANGED).hexdigest())
        faults += [f"{key} is torn" for key, each in held.items() if each["sha256"] not in allowed[key]]
        for name in FILES:
            if not (self.home / name).exists() and self.prefix + name not in held:
                faults.append(f"{name} is gone, and not in the bucket")
            if name.startswith(("keep/", "never/")) and not (self.home / name).exists():
                faults.append(f"{name} was touched")
        if (self.home / "move/small").exists() == (
            self.home / "moved/small"
        ).exists() and self.prefix + "move/small" not in held:
            faults.append("move/small has two names or none")
        if (self.home / "state/journal.db").exists() and integrity(self.home / "state") != "ok":
            faults.append("the journal is damaged")
        return faults

    def left_behind(self) -> list[str]:
        """Return names of our own that are still in the watched directories."""
        return [f"{path} is left" for path in self.home.glob("*/.crosshaul-*")]


def passed(world: World) -> list[str]:
    """Return the points that a life passes when it is not killed."""
    world.prepare()
    end = world.live(Doom(world.trace), world.at_rest)
    assert end == 0, f"the undisturbed life ended with {end}: {world.last_words()}"
    assert not world.wrong(), world.wrong()
    return world.trace.read_text().splitlines()


def killed_at(world: World, point: str, nth: int) -> str:
    """Die at the point, live again, and return the result."""
    world.prepare()
    end = world.live(Doom(world.trace, point, nth), world.at_rest)
    if end == 0:
        return "not passed this time"
    assert end == -signal.SIGKILL, f"it ended without the kill: {end}"
    assert not world.wrong(), f"after the kill: {world.wrong()}"
    world.change()
    assert world.live(None, world.at_rest) == 0, "the second life did not drain"
    wrong = world.wrong() + world.left_behind()
    assert not wrong, f"in the end: {wrong}"
    return _cost(world)


def _cost(world: World) -> str:
    """Return the objects that were written more often than they had states."""
    states = Counter({world.prefix + "keep/changing": 1})
    twice = {key: each["writes"] - 1 - states[key] for key, each in world.held().items()}
    extra = {key.removeprefix(world.prefix): count for key, count in twice.items() if count > 0}
    return f"written again: {extra}" if extra else "nothing written twice"


def main() -> int:
    """Try each point; return 1 if anything was lost or torn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="points whose name contains this")
    parser.add_argument("--passings", type=int, default=2, help="how many passings of each point (default 2)")
    options = parser.parse_args()
    failed, outcomes = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as directory, partner_process(spool=Path(directory, "spool")) as account:
        worlds = iter(World(account, Path(directory, f"w{number}"), f"w{number}/") for number in range(1_000_000))
        for world in (first := next(worlds),):
            world.home.mkdir()
        counts = Counter(passed(first))
        points = [
            (point, nth) for point in sorted(counts) for nth in range(1, min(counts[point], options.passings) + 1)
        ]
        for point, nth in points:
            if options.only not in point:
                continue
            world = next(worlds)
            world.home.mkdir()
            try:
                outcome = killed_at(world, point, nth)
            except AssertionError as error:
                failed, outcome = failed + 1, f"FAILED: {error}"
            outcomes[outcome.split(":")[0]] += 1
            print(f"{point} ({nth}): {outcome}", flush=True)
    print(dict(outcomes))
    print(f"{sum(outcomes.values()) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
