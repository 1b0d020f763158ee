"""The daemon's metrics. Their names are a contract (docs/OPERATIONS.md)."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from crosshaul import __version__
from crosshaul.model import RouteStatus
from crosshaul.telemetry.metric_registry import Gauge, MetricRegistry

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_UPLOAD_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")
_MAX_CODES = 64


class _RouteMetrics:
    def __init__(self, registry: MetricRegistry) -> None:
        self.files = registry.counter("files_delivered", "Files that S3 has confirmed.", "route")
        self.bytes = registry.counter("bytes_delivered", "Bytes in files that S3 has confirmed.", "route")
        self.unchanged = registry.counter(
            "files_unchanged", "Delivered files whose bytes were found unchanged.", "route"
        )
        self.failures = registry.counter("upload_failures", "Failed attempts to upload a file.", "route", "code")
        self.lost_events = registry.counter("watch_lost_events", "File system events that were lost.", "route")

        def gauge(name: str, help_: str) -> Gauge:
            return registry.gauge(name, help_, "route")

        self.pending = gauge("pending_files", "Settled files that are not delivered yet.")
        self.quarantined = gauge("quarantined_files", "Files that are quarantined, each with a reason.")
        self.overdue = gauge("sources_overdue", "Delivered files whose source is overdue to be deleted or moved.")
        self.oldest = gauge("oldest_pending_age_seconds", "Age of the oldest pending file.")
        self.watching = gauge("watcher_up", "1 while the directory is watched for events.")
        self.root_missing = gauge("root_missing", "1 while the watched directory is missing.")
        self.settling = gauge("settling_files", "Files that have not settled yet.")
        self.scanned_at = gauge("last_scan_timestamp_seconds", "Unix time at which the last full scan ended.")
        self.scan_seconds = gauge("last_scan_duration_seconds", "Duration of the last full scan.")
        self.paused = gauge("route_paused", "1 while an operator has paused the route.")
        self.from_the_start = (
            *(self.files, self.bytes, self.unchanged, self.lost_events),
            *(self.pending, self.quarantined, self.oldest, self.overdue),
        )
        """Series that exist before their first event."""


class _DestinationMetrics:
    def __init__(self, registry: MetricRegistry) -> None:
        def gauge(name: str, help_: str) -> Gauge:
            return registry.gauge(name, help_, "destination")

        self.sts = registry.counter("sts_requests", "AssumeRole calls.", "destination", "outcome")
        self.aborted = registry.counter(
            "uploads_aborted", "Abandoned multipart uploads that were aborted.", "destination"
        )
        self.expiry = gauge("credentials_expiry_seconds", "Time until the session's credentials expire.")
        self.parked = gauge("destination_parked", "1 while the destination's account or bucket refuses all files.")
        self.in_flight = gauge("in_flight_requests", "Requests in flight.")
        self.limit = gauge("concurrency_limit_requests", "Limit of requests in flight.")


class _ProcessMetrics:
    def __init__(self, registry: MetricRegistry, largest_lag: Callable[[], float]) -> None:
        histogram = registry.histogram
        self.upload_seconds = histogram(
            "upload_duration_seconds", "Time from the first byte of an upload to its receipt.", _UPLOAD_SECONDS
        )
        self.commit = histogram("journal_commit_seconds", "Duration of a commit of the journal.", _COMMIT_SECONDS)
        self.lag = histogram("loop_lag_seconds", "Lag of the event loop.", _LAG_SECONDS)
        registry.gauge("loop_lag_max_seconds", "Largest lag since the start.").set_function(largest_lag)
        self.log_dropped = registry.counter("log_lines_dropped", "Log lines that were lost because nobody read them.")
        registry.info("build", "Version of Crosshaul.", version=__version__)


@dataclass(slots=True)
class _Tally:
    files: int = 0
    bytes: int = 0


class Metrics:
    """The daemon's metrics in a registry of their own, so that several daemons can run in one process.

    Label values come from the configuration, except for error codes, which a server chooses: the first 64 distinct
    codes have series of their own, further ones count as ``other``. ``monotonic`` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._registry = MetricRegistry()
        self._codes: set[str] = set()
        self._delivered: defaultdict[str, _Tally] = defaultdict(_Tally)
        """Deliveries by route since the last ``render``: updating the counters for each file would take longer than
        everything else that is done for it."""
        self._lag_max = 0.0
        self._log_dropped_before = 0
        self._routes = _RouteMetrics(self._registry)
        self._destinations = _DestinationMetrics(self._registry)
        self._process = _ProcessMetrics(self._registry, lambda: self._lag_max)

    def expect(self, routes: Iterable[str], destinations: Iterable[str]) -> None:
        """Create the series of these with zeros: a counter that appears with its first event has no rate."""
        for route in routes:
            for series in self._routes.from_the_start:
                series.labels(route)
        for destination in destinations:
            self._destinations.parked.labels(destination)
            self._destinations.aborted.labels(destination)
            self._destinations.sts.labels(destination, "ok")

    def forget(self, routes: Iterable[str], destinations: Iterable[str]) -> None:
        """Remove the series of these: the gauges of a removed route would keep their values and alert forever."""
        self._count_delivered()
        self._registry.remove("route", routes)
        self._registry.remove("destination", destinations)

    def delivered(self, route: str, size: int, seconds: float) -> None:
        """Count a delivered file of ``size`` bytes, whose upload took ``seconds``."""
        tally = self._delivered[route]
        tally.files += 1
        tally.bytes += size
        self._process.upload_seconds.observe(seconds)

    def unchanged(self, route: str) -> None:
        """Count a delivered file that was read again and not sent, because only its ctime had changed."""
        self._routes.unchanged.labels(route).inc()

    def failed(self, route: str, code: str) -> None:
        """Count a failed attempt with this error code."""
        self._routes.failures.labels(route, self._bounded(code)).inc()

    def pending(self, route: str, files: int, oldest_age_seconds: float | None) -> None:
        """Set the route's number of pending files, and the age of the oldest (None = no file is pending)."""
        self._routes.pending.labels(route).set(files)
        self._routes.oldest.labels(route).set(oldest_age_seconds or 0.0)

    def quarantined(self, route: str, files: int) -> None:
        """Set the route's number of quarantined files."""
        self._routes.quarantined.labels(route).set(files)

    def overdue(self, route: str, files: int) -> None:
        """Set the number of delivered files of the route whose source is overdue to be deleted or moved."""
        self._routes.overdue.labels(route).set(files)

    def watched(self, status: RouteStatus) -> None:
        """Set a route's watcher, settling files and last scan."""
        self._routes.watching.labels(status.name).set(status.watcher == "watching")
        self._routes.root_missing.labels(status.name).set(status.watcher == "root missing")
        self._routes.settling.labels(status.name).set(status.settling)
        self._routes.scanned_at.labels(status.name).set(status.last_scan_at or 0.0)
        self._routes.scan_seconds.labels(status.name).set(status.last_scan_seconds or 0.0)

    def paused(self, route: str, *, paused: bool) -> None:
        """Set whether an operator paused the route."""
        self._routes.paused.labels(route).set(paused)

    def credentials(self, destination: str, expires_in_seconds: float | None) -> None:
        """Set the seconds until the destination's session expires; the gauge counts down. None = never."""
        ends = float("inf") if expires_in_seconds is None else self._monotonic() + expires_in_seconds
        self._destinations.expiry.labels(destination).set_function(lambda: ends - self._monotonic())

    def sts(self, destination: str, outcome: str) -> None:
        """Count an AssumeRole call; ``outcome`` is ``ok`` or the error code."""
        self._destinations.sts.labels(destination, self._bounded(outcome)).inc()

    def uploads_aborted(self, destination: str, uploads: int) -> None:
        """Count multipart uploads that were aborted because they will not be completed."""
        self._destinations.aborted.labels(destination).inc(uploads)

    def lost_events(self, route: str, n: int) -> None:
        """Count ``n`` (or more) events that the watcher lost."""
        self._routes.lost_events.labels(route).inc(n)

    def load(self, destination: str, in_flight: int, limit: int) -> None:
        """Set a destination's requests in flight, and their limit."""
        self._destinations.in_flight.labels(destination).set(in_flight)
        self._destinations.limit.labels(destination).set(limit)

    def destination_parked(self, destination: str, parked: bool) -> None:  # noqa: FBT001 - it is the value of the gauge
        """Set whether the destination is parked."""
        self._destinations.parked.labels(destination).set(parked)

    def committed(self, seconds: float) -> None:
        """Observe a commit of the journal that took ``seconds``."""
        self._process.commit.observe(seconds)

    def log_lines_dropped(self, total: int) -> None:
        """Set how many log lines were lost since the start of the process."""
        self._process.log_dropped.inc(max(0, total - self._log_dropped_before))
        self._log_dropped_before = max(total, self._log_dropped_before)

    def loop_lag(self, seconds: float) -> None:
        """Observe a lag of the event loop, in seconds."""
        self._process.lag.observe(seconds)
        self._lag_max = max(self._lag_max, seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format (``CONTENT_TYPE``)."""
        self._count_delivered()
        return self._registry.render()

    def _count_delivered(self) -> None:
        for route, tally in self._delivered.items():
            self._routes.files.labels(route).inc(tally.files)
            self._routes.bytes.labels(route).inc(tally.bytes)
        self._delivered.clear()

    def _bounded(self, code: str) -> str:
        if code in self._codes:
            return code
        if len(self._codes) >= _MAX_CODES or not _CODE.fullmatch(code):
            return "other"
        self._codes.add(code)
        return code
