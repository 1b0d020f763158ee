"""A failing destination does not affect others: the real runtime with two destinations, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from crosshaul.aws import refresher
from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import load
from crosshaul.files import page_cache_read
from crosshaul.files.source_file import SourceFile
from crosshaul.service import builder
from support.system_fixtures import destination, until

PATIENCE = 60.0
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
    """While forty reads below one route hang, the other route's files arrive; afterwards all do."""
    read, gate = SourceFile.read, threading.Event()

    def hanging(self, offset, length):
        if self.path.startswith(b"stuck"):
            gate.wait(HANGING)
        return read(self, offset, length)

    monkeypatch.setattr(SourceFile, "read", hanging)
    config = await asyncio.to_thread(load, site.config_file)
    async with builder.open_runtime(config, config.routes, SystemClock()) as runtime:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(each.run(stop)) for each in [*runtime.delivery_services(), *runtime.support_services()]
        ]
        try:
            for number in range(40):
                site.add(f"hangs/stuck-{number}", bytes(page_cache_read.MAX_BYTES + 1))
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
    """While all calls to twenty dead mounts hang, deletions included, another route delivers."""
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
    async with builder.open_runtime(config, config.routes, SystemClock()) as runtime:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(each.run(stop)) for each in [*runtime.delivery_services(), *runtime.support_services()]
        ]
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


async def test_names_that_hang_in_the_resolver_stop_nobody_else(strict, site, monkeypatch):
    """While thirty other look-ups hang in the C library, a destination gets its credentials and delivers."""
    resolve, gate = socket.getaddrinfo, threading.Event()

    def hanging(host, *rest, **more):
        if "hangs" in str(host):
            gate.wait(HANGING)
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    for each in site.config["destinations"].values():
        each["endpoint_url"] = each["endpoint_url"].replace("127.0.0.1", "localhost")
    site.config["identity"]["sts_endpoint_url"] = strict.sts_endpoint_url.replace("127.0.0.1", "localhost")
    site.config_file.write_text(json.dumps(site.config))
    config = await asyncio.to_thread(load, site.config_file)
    async with builder.open_runtime(config, config.routes, SystemClock()) as runtime:
        loop = asyncio.get_running_loop()
        hung = [asyncio.create_task(loop.getaddrinfo(f"hangs-{number}.test", 80)) for number in range(30)]
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(each.run(stop)) for each in [*runtime.delivery_services(), *runtime.support_services()]
        ]
        try:
            for number in range(40):
                site.add(f"works/{number}", b"y")
            await _there(strict, "works/", 40)
            assert not any(each.done() for each in hung)
        finally:
            gate.set()
        await asyncio.gather(*hung, return_exceptions=True)
        stop.set()
        await asyncio.gather(*tasks)


async def _there(strict, prefix, count):
    async with asyncio.timeout(PATIENCE):
        while len([key for key in await asyncio.to_thread(strict.objects) if key.startswith(prefix)]) < count:
            await asyncio.sleep(0.05)


async def test_sessions_that_a_policy_revokes_are_replaced(strict, site, monkeypatch):
    """After a revocation by policy (plain AccessDenied) a new session is fetched."""
    monkeypatch.setattr(refresher, "_SUSPECT_AGE_SECONDS", 1.0)
    config = await asyncio.to_thread(load, site.config_file)
    async with builder.open_runtime(config, config.routes, SystemClock()) as runtime:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(each.run(stop)) for each in [*runtime.delivery_services(), *runtime.support_services()]
        ]
        site.add("works/before", b"1")
        await _there(strict, "works/", 1)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(strict.revoke, "AccessDenied")
        for number in range(20):
            site.add(f"works/{number}", b"%d" % number)
        await _there(strict, "works/", 21)
        stop.set()
        await asyncio.gather(*tasks)
    assert "AccessDenied" in {call["code"] for call in strict.calls("PutObject")}
    assert {each["attempts"] for each in site.records().values()} == {0}


def test_a_dead_destination_a_refused_route_and_a_poisoned_file_hold_up_nobody(strict, site):
    """While one destination hangs, one route is refused and one file always fails, the others are delivered."""
    works = next(each for each in site.config["routes"] if each["name"] == "works")
    refused = works | {"name": "refused", "path": str(site.root / "refused"), "destination": "first"}
    (site.root / "refused").mkdir()
    dead = site.config["destinations"]["first"] | {"key_prefix": "dead/"}
    site.config["destinations"]["dead"] = dead
    site.config["routes"] += [refused, works | {"name": "dead", "path": str(site.root / "dead"), "destination": "dead"}]
    (site.root / "dead").mkdir()
    site.config_file.write_text(json.dumps(site.config))
    strict.fault("stall", "*", rule={"times": None, "key": "dead/*"}, seconds=60, where="head")
    strict.fault("error", "PutObject", rule={"times": None, "key": "refused/*"}, status=403, code="AccessDenied")
    strict.fault("error", "PutObject", rule={"times": None, "key": "works/poisoned"}, status=500, code="InternalError")
    with site.daemon() as daemon:
        for name in ("dead/a", "refused/a", "works/poisoned"):
            site.add(name, b"x")
        until(lambda: len(daemon.events("upload_failed", "destination_parked")) >= 2)
        for number in range(40):
            site.add(f"works/{number}", b"y")
        until(lambda: len([key for key in strict.objects() if key.startswith("works/")]) == 40)
        assert {key for key in strict.objects() if not key.startswith("dead/")} == {f"works/{n}" for n in range(40)}
        daemon.kill()


def test_a_backlog_in_one_route_is_not_before_a_new_file_in_another(strict, site):
    """With two thousand pending files in one route, a new file in another of the same destination is sent in turn."""
    for each in site.config["routes"]:
        each["destination"] = "first"
    site.config["transfer"] = {"max_concurrency": 4}
    site.config_file.write_text(json.dumps(site.config))
    for number in range(2_000):
        site.add(f"hangs/{number}", b"x")
    strict.fault("delay", "PutObject", rule={"times": None}, seconds=0.02)
    with site.daemon() as daemon:
        until(lambda: len(strict.objects()) > 100)
        added = time.monotonic()
        site.add("works/new", b"y")
        until(lambda: "works/new" in strict.objects())
        assert len(strict.objects()) < 2_000
        daemon.kill()
    calls = strict.calls("PutObject")
    new = next(call["at"] for call in calls if call["key"] == "works/new")
    # It settles in 0.1 s, and a runtime of four workers holds eight claims; the rest is for a slow machine.
    assert len([call for call in calls if added + 1.0 < call["at"] < new]) < 200
