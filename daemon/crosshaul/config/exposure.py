"""Files that decide where data goes, or that are secrets, and that every user of the machine can change."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from crosshaul.config.model import Config


def exposed(config: Config, file: Path) -> list[str]:
    """A line for each file of ``config``, read from ``file``, that any user can write or replace (blocking)."""
    return [line for path in dict.fromkeys(_files(config, file)) if (line := _exposure(path)) is not None]


def _files(config: Config, file: Path) -> Iterator[Path]:
    yield file
    for destination in config.destinations.values():
        yield from filter(None, (destination.external_id_file, destination.tls_ca_bundle))
    yield from filter(None, (config.http.token_file, config.heartbeat.url_file))


def _exposure(path: Path) -> str | None:
    try:
        mode, around = path.stat().st_mode, path.resolve().parent
        above = around.stat().st_mode
    except OSError:  # what is not there is told where it is used
        return None
    if mode & stat.S_IWOTH:
        return f"{path} can be changed by every user (mode {stat.S_IMODE(mode):04o}): chmod o-w {path}"
    if above & stat.S_IWOTH and not above & stat.S_ISVTX:
        return f"{path} can be replaced by every user ({around} has mode {stat.S_IMODE(above):04o}): chmod o-w {around}"
    return None
