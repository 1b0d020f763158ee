"""Places and keys after changes of the configuration: in the end every file is where it says."""

from __future__ import annotations

import json
import shutil

import pytest

from support.system_fixtures import destination, until

MIB = 1 << 20


@pytest.fixture
def site(strict, site_for):
    """Make a site with one route, `r`, to one destination, `partner`, with three files delivered."""
    site = site_for(strict)
    for name in ("one", "two", "sub/three"):
        site.add(name, name.encode())
    site.push()
    return site


def writes(strict):
    """Return how often each object was written."""
    return {key: each["writes"] for key, each in strict.objects().items()}


def previewed(site):
    """Return the output of a dry run."""
    done = site.crosshaul("push", "--dry-run")
    assert done.returncode == 0, done
    return done.stdout


DELIVERED = {"one": 1, "two": 1, "sub/three": 1}


# Another place


def test_another_prefix_has_all_files_go_there(strict, site):
    """After a change of key_prefix every file is pending again, and the dry run and the records have the new keys."""
    site.destination["key_prefix"] = "new"
    site.write()
    assert "s3://" + strict.bucket + "/new/sub/three" in previewed(site)
    assert "Delivered 3 files" in site.push()
    assert writes(strict) == DELIVERED | {f"new/{name}": 1 for name in DELIVERED}
    assert {each["key"] for each in site.records().values()} == {f"new/{name}" for name in DELIVERED}


def test_another_template_has_those_files_go_whose_key_is_another(strict, site):
    """After a change of the template a file with the same key is not sent again, and keeps its receipt."""
    site.write(key="{name}")
    assert previewed(site).count("\n") == 1
    assert "Delivered 1 file" in site.push()
    assert writes(strict) == DELIVERED | {"three": 1}


def test_a_bucket_that_is_not_there_has_nothing(strict, site):
    """After a change of the bucket no file counts as delivered, and each receipt is shown with its own bucket."""
    old, site.destination["bucket"] = strict.bucket, "production-inbox"
    site.write()
    output = site.crosshaul("explain", str(site.root / "one")).stdout
    assert f"as s3://{old}/one:" in output
    assert "The present configuration sends it to s3://production-inbox/one:" in output
    assert f"-> s3://{old}/one" in site.crosshaul("list").stdout
    assert site.records()["one"]["bucket"] == old
    assert site.crosshaul("wait", "--timeout", "200ms").returncode == 1
    done = site.crosshaul("push")
    assert (done.returncode, "NoSuchBucket" in done.stderr) == (1, True), done
    assert {each["state"] for each in site.records().values()} == {"pending"}
    site.destination["bucket"] = old
    site.write()
    assert site.push().startswith("Delivered 3 files")


def test_another_name_of_the_destination_sends_nothing(strict, site):
    """A renamed destination with the same bucket and endpoint is the same place."""
    site.config["destinations"] = {"renamed": site.config["destinations"]["partner"]}
    site.write(destination="renamed")
    assert previewed(site) == ""
    assert "3 were delivered before" in site.push()
    assert writes(strict) == DELIVERED
    assert {each["destination"] for each in site.records().values()} == {"renamed"}


def test_what_was_delivered_and_deleted_is_not_missed(strict, site):
    """The receipt of a missing file stays with the place that gave it."""
    (site.root / "one").unlink()
    site.destination["key_prefix"] = "new"
    site.write()
    site.push()
    assert site.records()["one"]["key"] == "one"
    assert set(strict.objects()) == {*DELIVERED, "new/two", "new/sub/three"}


def test_a_reload_has_all_files_go_to_the_new_place(strict, site):
    """After a reload the daemon sends everything to the new prefix, and nothing again to the old one."""
    with site.daemon() as daemon:
        site.destination["key_prefix"] = "new"
        site.write()
        assert site.crosshaul("reload").returncode == 0
        until(lambda: len(strict.objects()) == 6)
        assert daemon.stop() == 0
    assert writes(strict) == DELIVERED | {f"new/{name}": 1 for name in DELIVERED}


# Queued files are judged again


def queued(site, strict, *names):
    """Make a daemon's journal in which these files are pending, because the bucket refuses them."""
    strict.fault("error", "PutObject", rule={"times": None}, status=403, code="AccessDenied")
    for name in names:
        site.add(name, b"secret")
    assert site.crosshaul("push").returncode == 1
    assert all(site.records()[name]["state"] == "pending" for name in names)


def test_what_is_excluded_while_it_waits_is_never_sent(strict, site):
    """Pending files that are then excluded are gone with that reason, and are not waited for."""
    queued(site, strict, "secret/s0", "secret/s1", "open")
    site.write(exclude=["secret/"])
    strict.clear_faults()
    assert "Delivered 1 file" in site.push()
    assert set(strict.objects()) == {*DELIVERED, "open"}
    record = site.records()["secret/s0"]
    assert (record["state"], record["error"]["code"]) == ("gone", "Excluded")
    assert site.crosshaul("wait", "--timeout", "5s").returncode == 0
    assert "does not select it any more" in site.crosshaul("explain", str(site.root / "secret/s0")).stdout
    site.write(exclude=[])
    assert "Delivered 2 files" in site.push()


def test_what_can_not_go_any_more_is_not_waited_for(strict, site):
    """A pending file that is now a marker, or a directory, is gone."""
    queued(site, strict, "report.done", "folder")
    (site.root / "folder").unlink()
    site.add("folder/file", b"inside")
    site.write(settle={"marker": "{path}.done"})
    strict.clear_faults()
    site.crosshaul("push")
    assert {site.records()[name]["state"] for name in ("report.done", "folder")} == {"gone"}


def test_a_reload_that_excludes_keeps_what_waits_from_going(strict, site):
    """A reload that excludes pending files has the same effect, also for a file that changed meanwhile."""
    strict.fault("error", "PutObject", rule={"times": None}, status=403, code="AccessDenied")
    with site.daemon() as daemon:
        for name in ("secret/s0", "secret/s1", "open"):
            site.add(name, b"secret")
        until(
            lambda: (
                site.records().get("secret/s1", {}).get("state") == "pending" and daemon.events("destination_parked")
            )
        )
        site.write(exclude=["secret/"])
        site.add("secret/s1", b"changed meanwhile")
        assert site.crosshaul("reload").returncode == 0
        strict.clear_faults()
        until(lambda: "open" in strict.objects())
        until(lambda: {site.records()[name]["state"] for name in ("secret/s0", "secret/s1")} == {"gone"})
        assert set(strict.objects()) == {*DELIVERED, "open"}
        assert daemon.stop() == 0


def test_what_waits_goes_by_the_template_of_now(strict, site):
    """Pending files get the new keys, also if the old key seems to have the new prefix already."""
    queued(site, strict, "in/f")
    site.destination["key_prefix"] = "in"
    site.write()
    strict.clear_faults()
    site.push()
    assert "in/in/f" in strict.objects()
    assert "in/f" not in strict.objects()


# Whose a key is


def test_a_renamed_route_takes_its_keys_along(strict, site):
    """After a route is renamed nothing is sent twice or in conflict, and later changes arrive."""
    site.write(name="renamed")
    assert "3 were delivered before" in site.push()
    site.add("one", b"changed")
    assert "Delivered 1 file" in site.push()
    assert writes(strict) == DELIVERED | {"one": 2}
    assert {each["state"] for each in site.records().values()} == {"delivered"}


def test_a_route_that_is_split_takes_its_keys_along(strict, site):
    """A new route for a directory of another one, with the same keys, takes over that directory's receipts."""
    site.config["routes"] = [
        site.route | {"name": "top", "exclude": ["sub/"]},
        site.route | {"name": "below", "path": str(site.root / "sub"), "key": "sub/{path}"},
    ]
    site.write()
    assert "3 were delivered before" in site.push()
    assert writes(strict) == DELIVERED


def test_a_key_is_free_when_its_source_is_deleted(strict, site_for):
    """With key {name} and after_upload delete, the second day's report gets the key of the first day's."""
    site = site_for(strict, key="{name}", after_upload="delete")
    for day in ("monday", "tuesday"):
        site.add(f"{day}/report.csv", day.encode())
        assert "Delivered 1 file" in site.push()
    assert strict.read("report.csv") == b"tuesday"
    assert not (site.root / "tuesday/report.csv").exists()


def test_a_key_is_free_when_its_file_was_moved(strict, site_for):
    """A file that was moved to another directory unnoticed gets its own key there, and its new content arrives."""
    site = site_for(strict, key="{name}")
    site.add("d1/x", b"old")
    site.push()
    shutil.move(site.root / "d1/x", site.root / "x")
    (site.root / "x").write_bytes(b"new")
    assert "Delivered 1 file" in site.push()
    assert strict.read("x") == b"new"


def test_a_conflict_is_logged_and_ends_when_the_other_is_deleted(strict, site_for):
    """Of two files with one key the second is quarantined, with a log line, until the first is deleted."""
    site = site_for(strict, key="{name}", rescan_interval="1s")
    with site.daemon() as daemon:
        site.add("d1/x", b"first")
        until(lambda: "x" in strict.objects())
        site.add("d2/x", b"second")
        until(lambda: daemon.events("file_quarantined"))
        (event,) = daemon.events("file_quarantined")
        assert (event["route"], event["path"], event["code"]) == ("r", "d2/x", "KeyConflict")
        assert "once the other is deleted or moved away" in event["error"]
        (site.root / "d1/x").unlink()
        until(lambda: strict.read("x") == b"second")
        assert daemon.stop() == 0


def test_equal_files_share_a_key_that_tells_their_content(strict, site_for):
    """With {sha256} in the key copies are no conflict, and each is delivered."""
    site = site_for(strict, key="{sha256}")
    for name in ("a", "b", "c"):
        site.add(name, b"equal")
    site.push()
    assert len(strict.objects()) == 1
    assert {each["state"] for each in site.records().values()} == {"delivered"}


def test_two_destinations_that_are_one_bucket_see_their_conflict(strict, site_for):
    """If two destinations are one place, no file replaces another's object: the second is quarantined."""
    site = site_for(strict, after_upload="delete")
    site.config["destinations"]["second"] = destination(strict, site.external_id_file)
    other = site.home / "other"
    other.mkdir()
    site.config["routes"].append(site.route | {"name": "other", "path": str(other), "destination": "second"})
    site.write()
    (other / "report.csv").write_bytes(b"theirs")
    site.add("report.csv", b"ours")
    done = site.crosshaul("push")
    assert done.returncode == 1
    assert "KeyConflict" in done.stderr
    assert writes(strict) == {"report.csv": 1}
    assert (site.root / "report.csv").exists() != (other / "report.csv").exists()


# A route that goes over to another destination


def test_an_upload_that_a_reload_cuts_off_is_taken_over(strict, site):
    """A file that is sent to the old destination for longer than the drain lasts is sent to the new one at once."""
    site.config["shutdown_timeout"] = "500ms"
    site.config["destinations"]["second"] = destination(strict, site.external_id_file) | {"key_prefix": "second/"}
    (site.home / "other").mkdir()
    other = {"name": "stays", "path": str(site.home / "other"), "destination": "second"}
    site.config["routes"].append(site.route | other)
    site.write()
    strict.fault("delay", "PutObject", rule={"key": "slow", "times": None}, seconds=60)
    with site.daemon() as daemon:
        site.add("slow", b"slow")
        until(lambda: site.records().get("slow", {}).get("state") == "uploading")
        site.route["destination"] = "second"
        site.write()
        assert site.crosshaul("reload").returncode == 0
        until(lambda: "second/slow" in strict.objects())
        until(lambda: site.records()["slow"]["state"] == "delivered")
        daemon.kill()


def test_what_a_replaced_route_is_sending_ends_before_its_successor_begins(strict, site):
    """If a route with the same keys replaces one that still sends an older state, the newer state stays."""
    strict.settings(conditions="ignored")
    strict.fault("delay", "PutObject", rule={"key": "slow", "times": 1}, seconds=6)
    with site.daemon() as daemon:
        site.add("slow", b"older")
        until(lambda: strict.faults()[0]["hits"])  # the older state has been read, and is on its way
        site.add("slow", b"the newer state")
        site.write(name="successor")
        assert site.crosshaul("reload").returncode == 0
        until(lambda: len([call for call in strict.calls("PutObject") if call["key"] == "slow"]) >= 2)
        until(lambda: daemon.events("file_delivered"))
    assert strict.read("slow") == b"the newer state"
    assert not daemon.events("service_failed")


# Announcement, and resend


def test_what_goes_again_is_announced_with_its_number(strict, site):
    """validate, the dry run, the log and reload say how many files and bytes a change of the target sends again."""
    line = f"route r: 3 files (15 Bytes) delivered to s3://{strict.bucket} go again, to s3://{strict.bucket}/new/"
    site.destination["key_prefix"] = "new"
    site.write()
    assert line in site.crosshaul("validate").stdout
    (again,) = json.loads(site.crosshaul("validate", "--json").stdout)["sent_again"]
    assert (again["files"], again["bytes"], again["counted_all"]) == (3, 15, True)
    assert line in site.crosshaul("push", "--dry-run").stderr
    with site.daemon() as daemon:
        event = daemon.event("target_changed")
        assert len(daemon.events("target_changed")) == 1
        assert (event["route"], event["files"], event["bytes"]) == ("r", 3, 15)
        until(lambda: len(strict.objects()) == 6)
        site.destination["key_prefix"] = "newer"
        site.write()
        assert f"go again, to s3://{strict.bucket}/newer/" in site.crosshaul("reload").stdout
        until(lambda: len(strict.objects()) == 9)
        assert daemon.stop() == 0
    assert "go again" not in site.crosshaul("validate").stdout


def test_resend_sends_delivered_files_again(strict, site):
    """Files are sent again by path, directory or route, or all existing ones; unknown ones are named, with code 1."""
    (site.root / "two").unlink()
    done = site.crosshaul("resend", str(site.root / "sub"), str(site.root / "one"))
    assert (done.returncode, "2 files (12 Bytes) queued again" in done.stdout) == (0, True), done
    site.push()
    assert writes(strict) == {"one": 2, "two": 1, "sub/three": 2}
    done = site.crosshaul("resend", str(site.root / "two"), str(site.root / "nothing"))
    assert done.returncode == 1
    assert [str(site.root / name) in done.stderr for name in ("two", "nothing")] == [True, True]
    assert json.loads(site.crosshaul("resend", "--route", "r", "--json").stdout)["resent"] == 2
    with site.daemon() as daemon:
        until(lambda: writes(strict)["one"] == 3)
        assert site.crosshaul("resend").returncode == 0
        until(lambda: writes(strict) == {"one": 4, "two": 1, "sub/three": 4})
        assert daemon.stop() == 0
    assert site.crosshaul("resend", "--route", "no-such").returncode == 2
