"""Metrics: documented names, bounded labels, and current values."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crosshaul.model import RouteStatus
from crosshaul.telemetry.metrics import Metrics


def samples(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def metrics():
    return Metrics()


def test_a_delivery_counts_files_bytes_and_time(metrics):
    """A delivered file adds one file, its bytes and one duration, and is counted once however often that is read."""
    metrics.delivered("exports", 4096, 0.2)
    metrics.delivered("exports", 4, 0.02)
    seen = samples(metrics)
    assert seen["crosshaul_files_delivered_total,route=exports"] == 2
    assert seen["crosshaul_bytes_delivered_total,route=exports"] == 4100
    assert seen["crosshaul_upload_duration_seconds_count"] == 2
    assert seen["crosshaul_upload_duration_seconds_sum"] == pytest.approx(0.22)
    metrics.delivered("exports", 1, 0.02)
    seen = samples(metrics)
    assert seen["crosshaul_files_delivered_total,route=exports"] == 3
    assert seen["crosshaul_bytes_delivered_total,route=exports"] == 4101


def test_other_values_have_their_names(metrics):
    """Failures, queue, STS, lost events, requests in flight and parking have their documented names."""
    metrics.failed("exports", "SlowDown")
    metrics.pending("exports", 7, 12.5)
    metrics.sts("partner", "ok")
    metrics.lost_events("exports", 3)
    metrics.load("partner", 5, 64)
    metrics.committed(0.004)
    metrics.destination_parked("partner", parked=True)
    seen = samples(metrics)
    assert seen["crosshaul_upload_failures_total,code=SlowDown,route=exports"] == 1
    assert seen["crosshaul_pending_files,route=exports"] == 7
    assert seen["crosshaul_oldest_pending_age_seconds,route=exports"] == 12.5
    assert seen["crosshaul_sts_requests_total,destination=partner,outcome=ok"] == 1
    assert seen["crosshaul_watch_lost_events_total,route=exports"] == 3
    assert seen["crosshaul_in_flight_requests,destination=partner"] == 5
    assert seen["crosshaul_concurrency_limit_requests,destination=partner"] == 64
    assert seen["crosshaul_journal_commit_seconds_bucket,le=0.0025"] == 0
    assert seen["crosshaul_journal_commit_seconds_bucket,le=0.005"] == 1
    assert seen["crosshaul_destination_parked,destination=partner"] == 1


def test_how_a_route_is_watched_can_be_alerted_on(metrics):
    """A missing directory, a watcher that only scans, an old scan and a pause each have a metric."""
    metrics.watched(RouteStatus("gone", "root missing"))
    metrics.watched(RouteStatus("well", "watching", last_scan_at=1000.5, last_scan_seconds=2.5, settling=3))
    metrics.paused("well", paused=True)
    seen = samples(metrics)
    assert [seen[f"crosshaul_{name},route=gone"] for name in ("watcher_up", "root_missing")] == [0, 1]
    assert [seen[f"crosshaul_{name},route=well"] for name in ("watcher_up", "root_missing")] == [1, 0]
    assert seen["crosshaul_last_scan_timestamp_seconds,route=well"] == 1000.5
    assert seen["crosshaul_last_scan_duration_seconds,route=well"] == 2.5
    assert seen["crosshaul_settling_files,route=well"] == 3
    assert seen["crosshaul_route_paused,route=well"] == 1


def test_an_empty_queue_has_no_age(metrics):
    """Without pending files the oldest age is 0, also after there were some."""
    metrics.pending("exports", 1, 9.0)
    metrics.pending("exports", 0, None)
    assert samples(metrics)["crosshaul_oldest_pending_age_seconds,route=exports"] == 0


def test_credentials_count_down_by_themselves():
    """The time to expiry falls between two refreshes, and below zero."""
    now = [100.0]
    metrics = Metrics(lambda: now[0])
    metrics.credentials("partner", 60.0)
    metrics.credentials("own", None)
    now[0] = 170.0
    seen = samples(metrics)
    assert seen["crosshaul_credentials_expiry_seconds,destination=partner"] == -10
    assert seen["crosshaul_credentials_expiry_seconds,destination=own"] == float("inf")
    metrics.credentials("partner", 60.0)
    assert samples(metrics)["crosshaul_credentials_expiry_seconds,destination=partner"] == 60


def test_a_server_can_not_make_up_labels_without_end(metrics):
    """Error codes beyond the first 64, and odd ones, count as ``other``."""
    metrics.failed("exports", 'evil"code\n')
    for number in range(1000):
        metrics.failed("exports", f"Code{number}")
    codes = [name for name in samples(metrics) if name.startswith("crosshaul_upload_failures_total")]
    assert len(codes) == 65
    assert b"evil" not in metrics.render()
    assert samples(metrics)["crosshaul_upload_failures_total,code=other,route=exports"] == 1000 - 64 + 1


def test_expected_series_are_there_before_their_first_event(metrics):
    """Configured routes and destinations show zeros from the start."""
    metrics.expect(["exports"], ["partner"])
    seen = samples(metrics)
    assert seen["crosshaul_files_delivered_total,route=exports"] == 0
    assert seen["crosshaul_watch_lost_events_total,route=exports"] == 0
    assert seen["crosshaul_destination_parked,destination=partner"] == 0
    assert seen["crosshaul_sts_requests_total,destination=partner,outcome=ok"] == 0


def test_a_removed_route_has_no_series(metrics):
    """A removed route or destination leaves no series behind; the others keep theirs."""
    for name in ("gone", "stays"):
        metrics.expect([f"{name}-r"], [f"{name}-d"])
        metrics.failed(f"{name}-r", "SlowDown")
        metrics.sts(f"{name}-d", "AccessDenied")
        metrics.credentials(f"{name}-d", 60.0)
        metrics.load(f"{name}-d", 1, 64)
    metrics.forget(["gone-r"], ["gone-d"])
    seen = samples(metrics)
    assert not [name for name in seen if "gone" in name]
    assert len([name for name in seen if "stays" in name]) > 10


def test_loop_lag_keeps_the_worst(metrics):
    """The largest lag is kept."""
    for lag in (0.01, 0.3, 0.02):
        metrics.loop_lag(lag)
    seen = samples(metrics)
    assert seen["crosshaul_loop_lag_max_seconds"] == 0.3
    assert seen["crosshaul_loop_lag_seconds_count"] == 3


def test_two_daemons_in_one_process_do_not_mix():
    """Each instance has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.committed(1.0)
    assert samples(second)["crosshaul_journal_commit_seconds_count"] == 0


def test_names_follow_the_convention(metrics):
    """Every name is ``crosshaul_<noun>_<unit>[_total]``, and process memory and the version are exported."""
    metrics.delivered("exports", 1, 1.0)
    names = re.findall(r"^# TYPE (\S+)", metrics.render().decode(), re.MULTILINE)
    assert {"process_resident_memory_bytes", "crosshaul_build_info"} <= set(names)
    assert all(re.fullmatch(r"(crosshaul|process)(_[a-z]+)+", name) for name in names)
