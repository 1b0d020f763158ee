"""Files of two routes: the source stays until both have delivered it, and every command says so."""

from __future__ import annotations

import json
import mmap
import time

import pytest

from support.partner_client import s3
from support.partner_fixtures import PartnerProcess
from support.system_fixtures import until

FILES = {f"d/f{number}": b"x" * number for number in range(5)}


@pytest.fixture
def site(strict: PartnerProcess, site_for):
    """Make two routes over one tree; the second's bucket does not exist for now."""
    site = site_for(strict, after_upload="delete")
    site.config["destinations"]["second"] = site.destination | {"key_prefix": "second/", "bucket": "not-yet"}
    (site.home / "link").symlink_to(site.root)
    site.config["routes"].append(
        site.route
        | {"name": "second", "path": str(site.home / "link"), "destination": "second", "after_upload": "keep"}
    )
    site.write()
    for name, data in FILES.items():
        site.add(name, data)
    return site


def put_right(site) -> None:
    site.config["destinations"]["second"]["bucket"] = site.destination["bucket"]
    site.write()


def test_a_push_keeps_the_source_until_the_other_route_has_it_and_says_so(strict: PartnerProcess, site):
    """After a push to one place the sources stay and the other route is named; after both they go."""
    first = site.crosshaul("push", "--route", site.route["name"])
    assert (first.returncode, len(strict.objects())) == (0, len(FILES)), first
    assert f"{len(FILES)} sources stay, such as" in first.stderr
    assert "until route second has delivered it too: the route has not queued it yet" in first.stderr
    assert all((site.root / name).exists() for name in FILES)
    output = site.crosshaul("explain", str(site.root / "d/f1")).stdout
    assert "is not deleted yet" in output
    assert "until route second has delivered it too" in output
    assert f"Route second: {site.home}/link/d/f1 is not in the journal yet" in output
    other = json.loads(site.crosshaul("explain", "--json", str(site.root / "d/f1")).stdout)["other_routes"]
    assert [(each["route"], each["record"]) for each in other] == [("second", None)]
    put_right(site)
    both = site.crosshaul("push")
    assert (both.returncode, both.stderr, len(strict.objects())) == (0, "", 2 * len(FILES)), both
    assert not any((site.root / name).exists() for name in FILES)


def test_a_daemon_keeps_the_source_while_the_other_destination_is_parked_or_paused(strict: PartnerProcess, site):
    """While the second route is parked or paused all sources stay; once it has delivered them they go."""
    with site.daemon():
        until(lambda: len(strict.objects()) == len(FILES))
        time.sleep(3)
        assert all((site.root / name).exists() for name in FILES)
        assert site.crosshaul("pause", "--route", "second").returncode == 0
        put_right(site)
        assert site.crosshaul("reload").returncode == 0
        time.sleep(2)
        assert all((site.root / name).exists() for name in FILES)
        assert site.crosshaul("resume", "--route", "second").returncode == 0
        until(lambda: not any((site.root / name).exists() for name in FILES))
    held = strict.objects(sha256=True)
    assert {held[name]["sha256"] for name in FILES} == {held[f"second/{name}"]["sha256"] for name in FILES}


@pytest.mark.parametrize(("link", "target", "path"), [("ln", "sub", "ln/f"), ("fl", "sub/f", "fl")])
def test_a_source_stays_until_a_route_that_reaches_it_by_a_symlink_has_it(
    strict: PartnerProcess, site_for, link: str, target: str, path: str
):
    """While a route with a link to the file is not scanned yet, or waits for a marker, the source stays."""
    site = site_for(strict, after_upload="delete", path="")
    (site.root / "sub").mkdir()
    (site.root / link).symlink_to(target)
    file = site.add("sub/f", b"for both")
    site.config["destinations"]["second"] = site.destination | {"key_prefix": "second/"}
    linked = {"name": "linked", "path": str(site.root), "destination": "second", "symlinks": "follow_inside"}
    site.config["routes"].append(linked | {"include": [link, f"{link}/**"], "settle": {"marker": "go"}})
    site.write(path=str(site.root / "sub"))
    first = site.crosshaul("push", "--route", site.route["name"])
    assert file.exists(), first
    assert "until route linked, whose symlinks may lead to it, has been scanned" in first.stderr
    both = site.crosshaul("push")
    assert file.exists(), both
    assert f"until route linked has delivered it too: the route has not queued it yet (as {path})" in both.stderr
    site.add("go")
    last = site.crosshaul("push")
    assert (last.returncode, set(strict.objects())) == (0, {"f", f"second/{path}"}), last
    assert not file.exists()


def test_a_file_that_is_mapped_and_written_to_is_never_deleted_in_an_older_state(strict: PartnerProcess, site_for):
    """After writes through a mapping, which change no time, the source goes only once that state is delivered."""
    site = site_for(strict, after_upload="delete")
    path = site.add("mapped", bytes(4096))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096) as mapping:
        mapping[:5] = b"first"
        first = site.crosshaul("push")
        assert (first.returncode, path.exists()) == (0, True), first
        assert "a program has it open for writing" in first.stderr
        mapping[:5] = b"other"
    seen = []
    while path.exists():
        seen.append(site.crosshaul("push"))
        assert len(seen) < 5, seen
    assert strict.read("mapped")[:5] == b"other", seen


def test_on_a_store_without_conditions_a_source_stays_whose_object_was_replaced(strict: PartnerProcess, site_for):
    """If the object is replaced before the source is due, the source stays and the log says why; others go."""
    strict.settings(conditions="ignored")
    site = site_for(strict, after_upload={"action": "delete", "grace": "3s"})
    with site.daemon() as daemon:
        site.add("replaced", b"ours")
        until(lambda: daemon.events("file_delivered"))
        s3(strict).put_object(Bucket=strict.bucket, Key="replaced", Body=b"theirs")
        gone = site.add("gone", b"ours")
        until(lambda: daemon.events("source_kept"))
        until(lambda: not gone.exists())
    assert "was replaced by a program other than Crosshaul" in str(daemon.events("source_kept"))
    assert (site.root / "replaced").read_bytes() == b"ours"
