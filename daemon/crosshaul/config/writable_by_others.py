"""Find configuration files and secret files that every user of the machine can change."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from crosshaul.config.model import Config


def files_writable_by_others(config: Config, file: Path) -> list[str]:
    """List the files of ``config``, which was read from ``file``, that any user can write or replace (blocking)."""
    return [line for path in dict.fromkeys(_files(config, file)) if (line := _writable_by_others(path)) is not None]


def _files(config: Config, file: Path) -> Iterator[Path]:
    yield file
    for destination in config.destinations.values():
        yield from filter(None, (destination.external_id_file, destination.tls_ca_bundle))
    yield from filter(None, (config.http.token_file, config.heartbeat.url_file))


def _writable_by_others(path: Path) -> str | None:
    try:
        mode, directory = path.stat().st_mode, path.resolve().parent
        directory_mode = directory.stat().st_mode
    except OSError:  # a missing file is reported where it is used
        return None
    if mode & stat.S_IWOTH:
        return f"{path} can be changed by every user (mode {stat.S_IMODE(mode):04o}); run chmod o-w {path}"
    if directory_mode & stat.S_IWOTH and not directory_mode & stat.S_ISVTX:
        octal = f"{stat.S_IMODE(directory_mode):04o}"
        return f"{path} can be replaced by every user ({directory} has mode {octal}); run chmod o-w {directory}"
    return None
