"""The file, read, expanded, checked: a Config, or every fault in it at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from crosshaul.config.consistency import cross_faults
from crosshaul.config.endpoints import pointed
from crosshaul.config.messages import sentences
from crosshaul.config.model import Config
from crosshaul.config.yaml_document import Location, Value, YamlDocument, parse
from crosshaul.errors import ConfigError

INLINE = "CROSSHAUL_CONFIG_YAML"
"""The variable that may hold the configuration itself, and what that is called as a path and in complaints."""
_MAX_BYTES = 1024 * 1024


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; ``environment`` gives its ``${VAR}``, and may hold all of it (path ``INLINE``).

    ConfigError with all its faults, each ``FILE:LINE: key.path: what is wrong; write X instead``, by line.
    """
    document = parse(_read(path, environment), str(path), environment)
    if not isinstance(document.root, dict):
        raise ConfigError(
            [f"{path}:1: it is no mapping; write KEY: VALUE lines, such as state_dir: /var/lib/crosshaul"]
        )
    config = _validated(document, document.root)
    if config is None or document.faults:
        raise ConfigError([_line(path, *fault) for fault in sorted(document.faults, key=lambda fault: fault[0])])
    return pointed(config, environment)


def _read(path: Path, environment: Mapping[str, str]) -> str:
    if str(path) == INLINE and INLINE in environment:
        return environment[INLINE]
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError([f"{path}: it is a directory; give the YAML file in it"]) from None
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: there is no such file; check the path; docs/CONFIGURATION.md has an example"]
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([f"{path}: it can't be read ({reason}); check its owner and mode"]) from None
    if len(data) > _MAX_BYTES:
        raise ConfigError([f"{path}: it is larger than 1 MiB; give a configuration file"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [f"{path}:{line}: byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8"]
        ) from None


def _validated(document: YamlDocument, root: dict[str, Value]) -> Config | None:
    """Add the faults of the values to the document's own; the first one at a location is the one that tells."""
    found = cross_faults(root)
    config = None
    try:
        config = Config.model_validate(root, context={"custom_sts": _custom_sts(root)})
    except ValidationError as error:
        found.extend(sentences(error, root))
    told = {location for _, location, _ in document.faults}
    for location, sentence in found:
        if location not in told:
            document.faults.append((document.line(location), location, sentence))
    return config


def _custom_sts(root: dict[str, Value]) -> bool:
    identity = root.get("identity")
    return isinstance(identity, dict) and bool(identity.get("sts_endpoint_url"))


def _line(path: Path, line: int, location: Location, sentence: str) -> str:
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")
    told = f"{path}:{line}: {key}: {sentence}" if key else f"{path}:{line}: {sentence}"
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in told)
