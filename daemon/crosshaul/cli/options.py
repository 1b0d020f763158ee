"""What several verbs share: the configuration's option, and looking up names in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from crosshaul.config import Config

DEFAULT = Path("/etc/crosshaul/config.yaml")
Function = TypeVar("Function", bound=Callable[..., Any])


def config_option(function: Function) -> Function:
    """``-c FILE``; the verb gets the loaded Config as ``config``. Loading raises ConfigError."""
    return _option("config", callback=lambda _context, _option, path: loaded(path))(function)


def config_path_option(function: Function) -> Function:
    """``-c FILE``; the verb gets the Path as ``config_path``."""
    return _option("config_path")(function)


def _option(name: str, **more: Any) -> Callable[[Function], Function]:  # noqa: ANN401 - click's own arguments
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
        **more,
    )


def loaded(path: Path) -> Config:
    """The configuration in a file. Raises ConfigError."""
    from crosshaul.config import load  # noqa: PLC0415 - `crosshaul VERB --help` does without pydantic

    return load(path)


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
