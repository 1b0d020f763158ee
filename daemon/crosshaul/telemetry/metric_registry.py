"""Prometheus metrics under the prefix ``crosshaul_``. The only user of prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

__all__ = ["Counter", "Gauge", "Histogram", "MetricRegistry"]

Series = TypeVar("Series", Counter, Gauge)


class MetricRegistry:
    """Creates metrics, and removes the series of routes and destinations that are gone."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._by_label: dict[str, list[Counter | Gauge]] = {}
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, help_: str, *labels: str) -> Counter:
        """Create a counter."""
        return self._add(Counter(f"crosshaul_{name}", help_, labels, registry=self._registry), labels)

    def gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        """Create a gauge."""
        return self._add(Gauge(f"crosshaul_{name}", help_, labels, registry=self._registry), labels)

    def histogram(self, name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
        """Create a histogram."""
        return Histogram(f"crosshaul_{name}", help_, buckets=buckets, registry=self._registry)

    def info(self, name: str, help_: str, **values: str) -> None:
        """Create a constant series with ``values`` as its labels."""
        Info(f"crosshaul_{name}", help_, registry=self._registry).info(values)

    def _add(self, series: Series, labels: tuple[str, ...]) -> Series:
        if labels:
            self._by_label.setdefault(labels[0], []).append(series)
        return series

    def remove(self, label: str, values: Iterable[str]) -> None:
        """Remove all series whose first label ``label`` has one of these values."""
        for value in values:
            for series in self._by_label.get(label, ()):
                series.remove_by_labels({label: value})

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
