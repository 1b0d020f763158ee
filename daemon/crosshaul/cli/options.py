"""What several verbs share: the configuration's option, and looking up names in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crosshaul.display import printable
from crosshaul.errors import CrosshaulError
from crosshaul.telemetry.redact import conceal

if TYPE_CHECKING:
    from crosshaul.config import Config

DEFAULT = Path("/etc/crosshaul/config.yaml")
Function = TypeVar("Function", bound=Callable[..., Any])


json_option = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


def config_option(function: Function) -> Function:
    """``-c FILE``; the verb gets the loaded Config as ``config``. Loading raises ConfigError."""
    return _option("config", lambda context, option, path: _loaded(context, _chosen(context, option, path)))(function)


def config_path_option(function: Function) -> Function:
    """``-c FILE``; the verb gets the Path as ``config_path``."""
    return _option("config_path", _chosen)(function)


def _option(name: str, callback: Callable[..., Any]) -> Callable[[Function], Function]:
    return click.option(
        "-c",
        "--config",
        name,
        type=click.Path(path_type=Path, readable=False),  # loading says better what is wrong with it
        envvar="CROSSHAUL_CONFIG",
        default=DEFAULT,
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The configuration.",
        callback=callback,
    )


def _chosen(context: click.Context, option: click.Parameter, path: Path) -> Path:
    """The YAML in the environment, if there is some, is nearer than where a file may be; what -c says is nearest."""
    from crosshaul.config import INLINE  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic

    given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    return Path(INLINE) if INLINE in os.environ and not given else path


def _loaded(context: click.Context, path: Path) -> Config | Path:
    """A shell that completes a line has no use for more than the path."""
    return path if context.resilient_parsing else loaded(path)


def loaded(path: Path) -> Config:
    """The configuration in a file; what is secret in it is told in no text from now on. Raises ConfigError."""
    from crosshaul.config import load  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic

    config = load(path)
    conceal(*config.secrets())
    return config


def warn_of_surroundings(config: Config, path: Path) -> list[str]:
    """Tell on standard error what is valid and may go wrong: exposed files, the environment, keys; gives the lines."""
    from crosshaul.config import (  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic
        files_writable_by_others,
        overlaps,
    )

    lines = [*config.environment_notes, *files_writable_by_others(config, path), *overlaps(config)]
    for line in lines:
        click.echo(f"crosshaul: warning: {printable(line)}", err=True)
    return lines


def route_names(context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """The configuration's routes, for a shell that completes."""
    config = _known(context)
    return [route.name for route in config.routes if route.name.startswith(begun)] if config else []


def destination_names(context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """The configuration's destinations, for a shell that completes."""
    config = _known(context)
    return [name for name in config.destinations if name.startswith(begun)] if config else []


def _known(context: click.Context) -> Config | None:
    try:
        given = context.params.get("config_path") or context.params.get("config") or DEFAULT
        return loaded(given)
    except CrosshaulError:
        return None  # a line that is being typed is no place for complaints


def seconds(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """A duration such as 10m, as an option's callback; raises a usage error."""
    from crosshaul.config.units import parse_duration  # noqa: PLC0415 - --help does without pydantic

    if value is None:
        return None
    try:
        return parse_duration(float(value) if value.isdigit() else value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def check_routes(config: Config, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if the configuration has routes of all of them; raises a usage error that says which it has."""
    known = [route.name for route in config.routes]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no route {name}; there are: {', '.join(known)}.", param_hint="--route")
    return names
