"""The HTTP server of health, metrics, status and the status page. Its data comes from callables."""

from crosshaul.telemetry.web.server import PageSources, serving, serving_when_possible

__all__ = ["PageSources", "serving", "serving_when_possible"]
