"""What Prometheus reads. The only user of prometheus_client; the names are a contract (docs/OPERATIONS.md)."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from crosshaul import __version__
from crosshaul.model import RouteStatus

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")
_MOST_CODES = 64
Series = TypeVar("Series", Counter, Gauge)


@dataclass(slots=True)
class _Tally:
    files: int = 0
    bytes: int = 0


class Metrics:
    """One registry of its own, so that several daemons can live in one process.

    Label values come from the configuration, but for error codes, which a server makes up: of those the first 64
    distinct ones are told apart and the rest counts as ``other``. ``monotonic`` gives seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._registry = CollectorRegistry()
        self._codes: set[str] = set()
        self._delivered: defaultdict[str, _Tally] = defaultdict(_Tally)
        """By route, until somebody asks: a counter's lock and labels for each file cost more than all else of it."""
        self._lag_max = 0.0
        self._log_dropped_before = 0
        self._labelled: dict[str, list[Counter | Gauge]] = {"route": [], "destination": []}
        self._define_files()
        self._define_routes()
        self._define_account()
        self._define_process()

    def expect(self, routes: Iterable[str], destinations: Iterable[str]) -> None:
        """Show these with zeros from the start: a counter that appears with its first event has no rate."""
        for route in routes:
            for series in (
                self._files,
                self._bytes,
                self._unchanged,
                self._lost_events,
                self._pending,
                self._quarantined,
                self._oldest,
                self._overdue,
            ):
                series.labels(route)
        for destination in destinations:
            self._parked.labels(destination)
            self._aborted.labels(destination)
            self._sts.labels(destination, "ok")

    def forget(self, routes: Iterable[str], destinations: Iterable[str]) -> None:
        """Drop all series of these: a gauge of what is gone would stand still, or count down, and page for ever."""
        self._count_delivered()
        for label, names in (("route", routes), ("destination", destinations)):
            for series in self._labelled[label]:
                for name in names:
                    series.remove_by_labels({label: name})

    def delivered(self, route: str, size: int, seconds: float) -> None:
        """A file of ``size`` bytes is in the bucket; sending it took ``seconds``."""
        tally = self._delivered[route]
        tally.files += 1
        tally.bytes += size
        self._duration.observe(seconds)

    def unchanged(self, route: str) -> None:
        """A delivered file, of which only the ctime had changed, was read again and not sent."""
        self._unchanged.labels(route).inc()

    def failed(self, route: str, code: str) -> None:
        """A try ended in an error with this code."""
        self._failures.labels(route, self._bounded(code)).inc()

    def pending(self, route: str, files: int, oldest_age_seconds: float | None) -> None:
        """How many files of the route wait, and for how long the oldest has (None = nothing waits)."""
        self._pending.labels(route).set(files)
        self._oldest.labels(route).set(oldest_age_seconds or 0.0)

    def quarantined(self, route: str, files: int) -> None:
        """How many files of the route are set aside."""
        self._quarantined.labels(route).set(files)

    def overdue(self, route: str, files: int) -> None:
        """How many delivered files of the route were to be deleted or moved, and are there still."""
        self._overdue.labels(route).set(files)

    def watched(self, status: RouteStatus) -> None:
        """How a route's directory is watched, and when it was last walked."""
        self._watching.labels(status.name).set(status.watcher == "watching")
        self._root_missing.labels(status.name).set(status.watcher == "root missing")
        self._settling.labels(status.name).set(status.settling)
        self._scanned_at.labels(status.name).set(status.last_scan_at or 0.0)
        self._scan_took.labels(status.name).set(status.last_scan_seconds or 0.0)

    def paused(self, route: str, *, paused: bool) -> None:
        """Whether somebody asked for the route to send nothing."""
        self._paused.labels(route).set(paused)

    def credentials(self, destination: str, expires_in_seconds: float | None) -> None:
        """The destination's session ends in so many seconds; the gauge counts down by itself. None = never."""
        ends = float("inf") if expires_in_seconds is None else self._monotonic() + expires_in_seconds
        self._expiry.labels(destination).set_function(lambda: ends - self._monotonic())

    def sts(self, destination: str, outcome: str) -> None:
        """One AssumeRole call, with ``ok`` or the error code."""
        self._sts.labels(destination, self._bounded(outcome)).inc()

    def uploads_aborted(self, destination: str, uploads: int) -> None:
        """So many uploads in parts that nobody completes any more were aborted."""
        self._aborted.labels(destination).inc(uploads)

    def lost_events(self, route: str, n: int) -> None:
        """The watcher lost ``n`` events (at least)."""
        self._lost_events.labels(route).inc(n)

    def load(self, destination: str, in_flight: int, limit: int) -> None:
        """Requests to a destination that are under way now, and that may be."""
        self._in_flight.labels(destination).set(in_flight)
        self._limit.labels(destination).set(limit)

    def destination_parked(self, destination: str, parked: bool) -> None:  # noqa: FBT001 - it is the value of the gauge
        """Whether the destination takes no files for now."""
        self._parked.labels(destination).set(parked)

    def committed(self, seconds: float) -> None:
        """The journal made a transaction durable in so many seconds."""
        self._commit.observe(seconds)

    def log_lines_dropped(self, total: int) -> None:
        """How many log lines were lost since the start of the process."""
        self._log_dropped.inc(max(0, total - self._log_dropped_before))
        self._log_dropped_before = max(total, self._log_dropped_before)

    def loop_lag(self, seconds: float) -> None:
        """How late the event loop was for an appointment."""
        self._lag.observe(seconds)
        self._lag_max = max(self._lag_max, seconds)

    def render(self) -> bytes:
        """Everything in Prometheus's text format (``CONTENT_TYPE``)."""
        self._count_delivered()
        return generate_latest(self._registry)

    def _count_delivered(self) -> None:
        for route, tally in self._delivered.items():
            self._files.labels(route).inc(tally.files)
            self._bytes.labels(route).inc(tally.bytes)
        self._delivered.clear()

    def _bounded(self, code: str) -> str:
        if code in self._codes:
            return code
        if len(self._codes) >= _MOST_CODES or not _CODE.fullmatch(code):
            return "other"
        self._codes.add(code)
        return code

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return self._kept(Counter(f"crosshaul_{name}", help_, labels, registry=self._registry), labels)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return self._kept(Gauge(f"crosshaul_{name}", help_, labels, registry=self._registry), labels)

    def _kept(self, series: Series, labels: tuple[str, ...]) -> Series:
        """Noted by what its first label names, so that it can be forgotten with that."""
        if labels:
            self._labelled[labels[0]].append(series)
        return series

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"crosshaul_{name}", help_, buckets=buckets, registry=self._registry)

    def _define_files(self) -> None:
        self._files = self._counter("files_delivered", "Files that S3 has confirmed.", "route")
        self._bytes = self._counter("bytes_delivered", "Bytes in files that S3 has confirmed.", "route")
        self._unchanged = self._counter(
            "files_unchanged", "Delivered files that were read again instead of sent: only the ctime changed.", "route"
        )
        self._failures = self._counter("upload_failures", "Tries that ended in an error.", "route", "code")
        self._pending = self._gauge("pending_files", "Files at rest that are not delivered yet.", "route")
        self._quarantined = self._gauge("quarantined_files", "Files that are set aside, each with a reason.", "route")
        self._overdue = self._gauge(
            "sources_overdue", "Delivered files that were to be deleted or moved, and are there still.", "route"
        )
        self._oldest = self._gauge(
            "oldest_pending_age_seconds", "How long the oldest pending file has waited.", "route"
        )
        self._lost_events = self._counter("watch_lost_events", "File system events known to be lost.", "route")
        self._duration = self._histogram("upload_duration_seconds", "From the first byte to the receipt.", _SECONDS)

    def _define_routes(self) -> None:
        self._watching = self._gauge("watcher_up", "1 while every event in the directory is heard.", "route")
        self._root_missing = self._gauge("root_missing", "1 while the watched directory is not there.", "route")
        self._settling = self._gauge("settling_files", "Files that have not come to rest yet.", "route")
        self._scanned_at = self._gauge("last_scan_timestamp_seconds", "When the last walk of all ended.", "route")
        self._scan_took = self._gauge("last_scan_duration_seconds", "How long the last walk of all took.", "route")
        self._paused = self._gauge("route_paused", "1 while somebody has paused it.", "route")

    def _define_account(self) -> None:
        self._expiry = self._gauge("credentials_expiry_seconds", "Time until the session ends.", "destination")
        self._sts = self._counter("sts_requests", "AssumeRole calls.", "destination", "outcome")
        self._parked = self._gauge("destination_parked", "1 while the account or bucket refuses.", "destination")
        self._aborted = self._counter("uploads_aborted", "Uploads in parts given up and aborted.", "destination")
        self._in_flight = self._gauge("in_flight_requests", "Requests under way.", "destination")
        self._limit = self._gauge("concurrency_limit_requests", "Requests that may be under way.", "destination")

    def _define_process(self) -> None:
        self._lag = self._histogram("loop_lag_seconds", "How late the event loop is.", _LAG_SECONDS)
        self._commit = self._histogram(
            "journal_commit_seconds", "How long the journal took to make a transaction durable.", _COMMIT_SECONDS
        )
        self._gauge("loop_lag_max_seconds", "The worst since the start.").set_function(lambda: self._lag_max)
        Info("crosshaul_build", "What is running.", registry=self._registry).info({"version": __version__})
        self._log_dropped = self._counter("log_lines_dropped", "Log lines that nobody read in time.")
        ProcessCollector(registry=self._registry)
