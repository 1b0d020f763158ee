"""The process: build it, run it, reload it, stop it."""
