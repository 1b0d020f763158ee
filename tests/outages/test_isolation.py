"""One destination's trouble is nobody else's: the real house with two destinations, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest

from crosshaul import app
from crosshaul.clock import SystemClock
from crosshaul.config import load
from crosshaul.source import SourceFile
from system_fixtures import destination

PATIENCE = 30.0
HANGING = 10 * PATIENCE


@pytest.fixture
def site(strict, site_for, monkeypatch):
    """Two routes, `hangs` and `works`, each to a destination of its own."""
    site = site_for(strict)
    other = destination(strict, site.external_id_file)
    site.config["destinations"] = {"first": other, "second": other}
    site.config["routes"] = [
        {"name": name, "path": str(site.root / name), "destination": to, "key": "{route}/{path}"}
        for name, to in (("hangs", "first"), ("works", "second"))
    ]
    for each in site.config["routes"]:
        (site.root / each["name"]).mkdir()
        each["settle"] = {"quiet": "100ms"}
    site.config_file.write_text(json.dumps(site.config))
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    return site


async def test_a_file_system_that_hangs_stops_its_own_destination_only(strict, site, monkeypatch):
    """Every read below one route hangs, forty at a time: the other route's files arrive meanwhile, and then all do."""
    read, gate = SourceFile.read, threading.Event()

    def hanging(self, offset, length):
        if self.path.startswith(b"stuck"):
            gate.wait(HANGING)
        return read(self, offset, length)

    monkeypatch.setattr(SourceFile, "read", hanging)
    config = await asyncio.to_thread(load, site.config_file)
    async with app.opened(config, config.routes, SystemClock()) as house:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(each.run(stop)) for each in [*house.carriers(), *house.helpers()]]
        try:
            for number in range(40):
                site.add(f"hangs/stuck-{number}", b"x")
            await asyncio.sleep(2)
            for number in range(40):
                site.add(f"works/{number}", b"y")
            await _there(strict, "works/", 40)
            assert not [key for key in strict.objects() if key.startswith("hangs/")]
        finally:
            gate.set()
        await _there(strict, "hangs/", 40)
        stop.set()
        await asyncio.gather(*tasks)


async def test_twenty_hung_roots_stop_nobody_else(strict, site, monkeypatch):
    """Everything asked of twenty dead mounts hangs, sources to be deleted among it: another route goes on as ever."""
    gate = threading.Event()

    def hanging(call):
        def hang(first, *rest, **more):
            if "dead" in os.fsdecode(first):
                gate.wait(HANGING)
            return call(first, *rest, **more)

        return hang

    monkeypatch.setattr(Path, "stat", hanging(Path.stat))
    monkeypatch.setattr(os, "open", hanging(os.open))
    works = next(each for each in site.config["routes"] if each["name"] == "works")
    dead = [works | {"name": f"dead{n}", "path": str(site.root / f"dead{n}")} for n in range(20)]
    site.config["routes"] = [*dead, works | {"after_upload": "delete"}]
    site.config_file.write_text(json.dumps(site.config))
    config = await asyncio.to_thread(load, site.config_file)
    async with app.opened(config, config.routes, SystemClock()) as house:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(each.run(stop)) for each in [*house.carriers(), *house.helpers()]]
        try:
            await asyncio.sleep(2)
            for number in range(40):
                site.add(f"works/{number}", b"y")
            await _there(strict, "works/", 40)
            async with asyncio.timeout(PATIENCE):
                while list((site.root / "works").iterdir()):
                    await asyncio.sleep(0.05)
            assert not gate.is_set()
        finally:
            gate.set()
        stop.set()
        await asyncio.gather(*tasks)


async def _there(strict, prefix, count):
    async with asyncio.timeout(PATIENCE):
        while len([key for key in await asyncio.to_thread(strict.objects) if key.startswith(prefix)]) < count:
            await asyncio.sleep(0.05)
