"""Load the configuration file: a Config, or all errors in it at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from crosshaul.config.aws_endpoints import with_environment_endpoints
from crosshaul.config.consistency import consistency_errors
from crosshaul.config.messages import messages
from crosshaul.config.model import Config
from crosshaul.config.yaml_document import Location, Value, YamlDocument, parse
from crosshaul.errors import ConfigError

INLINE = "CROSSHAUL_CONFIG_YAML"
"""The environment variable that can contain the configuration; its name is the path then, also in errors."""
_MAX_BYTES = 1024 * 1024


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; ``environment`` has its variables, and its text for the path ``INLINE``.

    Raises ConfigError with all errors by line, each ``FILE:LINE: key.path: what is wrong; what to write``.
    """
    document = parse(_read(path, environment), str(path), environment)
    if not isinstance(document.root, dict):
        raise ConfigError([f"{path}:1: not a mapping; write KEY: VALUE lines, such as state_dir: /var/lib/crosshaul"])
    config = _validated(document, document.root)
    if config is None or document.faults:
        raise ConfigError([_line(path, *fault) for fault in sorted(document.faults, key=lambda fault: fault[0])])
    return with_environment_endpoints(config, environment)


def _read(path: Path, environment: Mapping[str, str]) -> str:
    if str(path) == INLINE and INLINE in environment:
        return environment[INLINE]
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError([f"{path}: is a directory; give the path of the YAML file"]) from None
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: no such file; check the path, or write the file as in docs/CONFIGURATION.md"]
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([f"{path}: cannot be read ({reason}); check its owner and mode"]) from None
    if len(data) > _MAX_BYTES:
        raise ConfigError([f"{path}: larger than 1 MiB; give a configuration file"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [f"{path}:{line}: byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8"]
        ) from None


def _validated(document: YamlDocument, root: dict[str, Value]) -> Config | None:
    """Validate the values; add each error to ``document.faults`` unless its location already has one."""
    errors = consistency_errors(root)
    config = None
    try:
        config = Config.model_validate(root, context={"custom_sts": _custom_sts(root)})
    except ValidationError as error:
        errors.extend(messages(error, root))
    reported = {location for _, location, _ in document.faults}
    for location, message in errors:
        if location not in reported:
            document.faults.append((document.line(location), location, message))
    return config


def _custom_sts(root: dict[str, Value]) -> bool:
    identity = root.get("identity")
    return isinstance(identity, dict) and bool(identity.get("sts_endpoint_url"))


def _line(path: Path, line: int, location: Location, message: str) -> str:
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")
    text = f"{path}:{line}: {key}: {message}" if key else f"{path}:{line}: {message}"
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
