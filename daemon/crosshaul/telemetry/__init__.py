"""Logs, metrics, health verdicts, status and the status page."""
