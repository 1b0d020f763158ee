"""A file system that hangs below one route does not stop other routes of the same destination."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import load
from crosshaul.files import page_cache_read, read_threads
from crosshaul.files.source_file import SourceFile
from crosshaul.service import builder
from support.system_fixtures import until

HANGING = 240.0
PATIENCE = 60.0
SIZES = {"small": 10, "middling": 100_000, "large": 1_000_000, "in parts": 20 << 20}


@pytest.fixture
def site(strict, site_for, monkeypatch):
    """Two routes to one destination: `hangs` and `works`."""
    site = site_for(strict)
    route = site.config["routes"][0]
    site.config["routes"] = [
        route | {"name": name, "path": str(site.root / name), "key": "{route}/{path}", "settle": {"quiet": "100ms"}}
        for name in ("hangs", "works")
    ]
    site.config["transfer"] = {"max_concurrency": 16}
    for each in site.config["routes"]:
        (site.root / each["name"]).mkdir()
    site.config_file.write_text(json.dumps(site.config))
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    return site


@pytest.fixture
def gate(monkeypatch):
    """Block every read of a file called `stuck` until the gate is open; nothing of it is in memory."""
    gate, read, fetch, cached_read = threading.Event(), SourceFile.read, page_cache_read.fetch, page_cache_read.read

    def hanging(self, offset, length, into=None):
        if self.path.startswith(b"stuck"):
            gate.wait(HANGING)
        return read(self, offset, length, into)

    def fetching(files):
        if any(path.startswith(b"stuck") for _, path in files):
            gate.wait(HANGING)
        fetch(files)

    def from_memory(root, path, fingerprint):
        return None if path.startswith(b"stuck") else cached_read(root, path, fingerprint)

    monkeypatch.setattr(SourceFile, "read", hanging)
    monkeypatch.setattr(page_cache_read, "fetch", fetching)
    monkeypatch.setattr(page_cache_read, "read", from_memory)
    monkeypatch.setattr(read_threads, "_STUCK_SECONDS", 1.0)
    monkeypatch.setattr(read_threads, "_CHECK_SECONDS", 0.2)
    yield gate
    gate.set()


@pytest.mark.parametrize("kind", SIZES)
async def test_reads_that_hang_stop_their_own_route_only(kind, strict, site, gate):
    """With sixty hanging reads and sixteen workers the other route's files of each size arrive, and then all do."""
    stuck = 60 if SIZES[kind] < 2_000_000 else 6
    config = await asyncio.to_thread(load, site.config_file)
    async with builder.open_runtime(config, config.routes, SystemClock()) as runtime:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(each.run(stop)) for each in [*runtime.delivery_services(), *runtime.support_services()]
        ]
        for number in range(stuck):
            site.add(f"hangs/stuck-{number}", bytes(SIZES[kind]))
        await asyncio.sleep(1.5)
        for name, size in SIZES.items():
            site.add(f"works/{name}", bytes(size))
        await there(strict, "works/", len(SIZES))
        assert not [key for key in strict.objects() if key.startswith("hangs/")]
        gate.set()
        await there(strict, "hangs/", stuck)
        stop.set()
        await asyncio.gather(*tasks)
    assert {each["attempts"] for each in site.records().values()} == {0}


async def there(strict, prefix, count):
    async with asyncio.timeout(PATIENCE):
        while len([key for key in await asyncio.to_thread(strict.objects) if key.startswith(prefix)]) < count:
            await asyncio.sleep(0.05)


async def test_a_root_that_hangs_is_an_event_and_so_is_its_end(strict, site, gate, monkeypatch):
    """A hanging read is logged once with its route, and so is its recovery."""
    config = await asyncio.to_thread(load, site.config_file)
    monkeypatch.setattr(read_threads, "_STUCK_SECONDS", 0.2)
    monkeypatch.setattr(read_threads, "_HANGING_SECONDS", 0.5)
    async with builder.open_runtime(config, config.routes, SystemClock()) as runtime:
        (pipeline,) = runtime.destinations.values()
        said = []
        pipeline.context.files.observe(lambda _: None, lambda *of: said.append(of), lambda *of: said.append(of))
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(each.run(stop)) for each in [*runtime.delivery_services(), *runtime.support_services()]
        ]
        for number in range(30):
            site.add(f"hangs/stuck-{number}", bytes(100_000))
        await asyncio.to_thread(until, lambda: said)
        gate.set()
        await asyncio.to_thread(until, lambda: len(said) >= 2)
        assert [of[0] for of in said] == ["hangs", "hangs"]
        stop.set()
        await asyncio.gather(*tasks)
