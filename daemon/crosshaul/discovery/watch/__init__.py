"""Watch a directory tree for changes. Events are hints of what to check; scans are the truth."""

from crosshaul.discovery.watch.backend import EventKind, WatchListener
from crosshaul.discovery.watch.watcher import Watcher

__all__ = ["EventKind", "WatchListener", "Watcher"]
