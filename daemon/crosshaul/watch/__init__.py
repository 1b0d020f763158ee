"""Hears that something happened in a watched directory, and says where to look. Only a hint: scans are the truth."""

from crosshaul.watch.hints import Kind, Listener
from crosshaul.watch.watcher import Watcher

__all__ = ["Kind", "Listener", "Watcher"]
