"""The HTTP side of telemetry: health, metrics, status and a page for people. The data comes from callables."""

from crosshaul.telemetry.web.server import PageSources, serving, serving_when_possible

__all__ = ["PageSources", "serving", "serving_when_possible"]
