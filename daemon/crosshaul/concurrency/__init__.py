"""Clock, waiting, threads, limits and back-off."""
