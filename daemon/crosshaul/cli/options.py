"""Options that several verbs share, and checks of the names in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crosshaul.display import printable
from crosshaul.errors import CrosshaulError, unknown_name
from crosshaul.telemetry.redact import conceal

if TYPE_CHECKING:
    from crosshaul.config import Config

DEFAULT_CONFIG = Path("/etc/crosshaul/config.yaml")
Function = TypeVar("Function", bound=Callable[..., Any])


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def config_option(function: Function) -> Function:
    """Add ``-c FILE``; the verb gets the loaded Config as ``config``. Loading raises ConfigError."""
    return _option("config", lambda context, option, path: _load(context, _source(context, option, path)))(function)


def config_path_option(function: Function) -> Function:
    """Add ``-c FILE``; the verb gets the Path as ``config_path``."""
    return _option("config_path", _source)(function)


def _option(name: str, callback: Callable[..., Any]) -> Callable[[Function], Function]:
    return click.option(
        "-c",
        "--config",
        name,
        type=click.Path(path_type=Path, readable=False),  # the error of loading is clearer
        envvar="CROSSHAUL_CONFIG",
        default=DEFAULT_CONFIG,
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The configuration file.",
        callback=callback,
    )


def _source(context: click.Context, option: click.Parameter, path: Path) -> Path:
    """Return where the configuration is: -c comes first, then YAML in the environment, then the default path."""
    from crosshaul.config import INLINE  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic

    given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    return Path(INLINE) if INLINE in os.environ and not given else path


def _load(context: click.Context, path: Path) -> Config | Path:
    """Load the configuration; for a shell that completes a line return the path only."""
    return path if context.resilient_parsing else load_config(path)


def load_config(path: Path) -> Config:
    """Load the configuration, and keep its secrets out of all later texts. Raises ConfigError."""
    from crosshaul.config import load  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic

    config = load(path)
    conceal(*config.secrets())
    return config


def print_warnings(config: Config, path: Path) -> list[str]:
    """Print and return the configuration's warnings: exposed files, the environment, keys that may collide."""
    from crosshaul.config import (  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic
        files_writable_by_others,
        overlaps,
    )

    lines = [*config.environment_notes, *files_writable_by_others(config, path), *overlaps(config)]
    for line in lines:
        click.echo(f"crosshaul: warning: {printable(line)}", err=True)
    return lines


def route_names(context: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """Return the configured routes, for shell completion."""
    config = _completion_config(context)
    return [route.name for route in config.routes if route.name.startswith(incomplete)] if config else []


def destination_names(context: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """Return the configured destinations, for shell completion."""
    config = _completion_config(context)
    return [name for name in config.destinations if name.startswith(incomplete)] if config else []


def _completion_config(context: click.Context) -> Config | None:
    try:
        return load_config(context.params.get("config_path") or context.params.get("config") or DEFAULT_CONFIG)
    except CrosshaulError:
        return None  # no errors while a line is being typed


def seconds(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """Parse a duration such as 10m, as an option's callback. Raises a usage error."""
    from crosshaul.config.units import parse_duration  # noqa: PLC0415 - --help does without pydantic

    if value is None:
        return None
    try:
        return parse_duration(float(value) if value.isdigit() else value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def check_routes(config: Config, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of routes. Raises a usage error if one is not configured."""
    return _check_names("route", names, [route.name for route in config.routes])


def check_destinations(config: Config, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of destinations. Raises a usage error if one is not configured."""
    return _check_names("destination", names, config.destinations)


def _check_names(kind: str, names: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{unknown_name(kind, name, known)}.", param_hint=f"--{kind}")
    return names
