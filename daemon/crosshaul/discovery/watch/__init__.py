"""Hears that something happened in a watched directory, and says where to look. Only a hint: scans are the truth."""

from crosshaul.discovery.watch.backend import EventKind, WatchListener
from crosshaul.discovery.watch.watcher import Watcher

__all__ = ["EventKind", "WatchListener", "Watcher"]
