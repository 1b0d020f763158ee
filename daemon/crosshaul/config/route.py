"""A route: a watched directory, and how its files go to a destination."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from crosshaul.config.types import AbsolutePath, Duration, Flag, Label, Section, Text
from crosshaul.config.units import format_duration
from crosshaul.keys import Template

_MARKER_FIELDS = ("path", "name", "stem", "suffix", "dir")


def _template(value: str) -> str:
    Template.parse(value)
    return value


def _pattern(value: str) -> str:
    if not value.strip() or value in {"!", "/"}:
        raise ValueError(f"{value!r} matches nothing; write a pattern such as *.csv, or remove it")
    if value.startswith("#"):
        raise ValueError(f"{value!r} is a comment in gitignore's syntax and matches nothing; write {chr(92) + value!r}")
    return value


def _marker(value: str) -> str:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(value) if field is not None]
    except ValueError:
        raise ValueError("its braces don't match; write for instance {path}.done") from None
    unknown = [field for field in fields if field not in _MARKER_FIELDS]
    if unknown:
        known = " ".join(f"{{{name}}}" for name in _MARKER_FIELDS)
        raise ValueError(f"{{{unknown[0]}}} is not a field of a marker; the fields are {known}")
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f"{value!r} leaves the watched directory; write a path relative to it, such as {{path}}.done")
    if value in {"", "{path}", "{dir}/{name}"}:
        raise ValueError("a file can't be its own marker; write for instance {path}.done")
    return value


Pattern = Annotated[Text, AfterValidator(_pattern)]


class SettleConfig(Section):
    """When a file counts as finished: after a quiet time, or when its marker is there."""

    quiet: Duration = 2.0
    """How long size, times and inode must stand still; 0s takes files as they are seen."""
    max_wait: Duration = Field(600.0, validate_default=True)
    """How long a file that never stands still is waited for."""
    close_write: Flag = False
    """Whether a file that its writer closes is finished at once (Linux), for writers that close a file once."""
    marker: Annotated[Text, AfterValidator(_marker)] | None = None
    """A file that says that another is finished, such as ``{path}.done``; takes the place of all the others."""

    @field_validator("max_wait")
    @classmethod
    def _long_enough(cls, value: float, info: ValidationInfo) -> float:
        quiet = info.data.get("quiet", 0.0)
        if value < quiet:
            least = format_duration(quiet)
            raise ValueError(f"{format_duration(value)} is shorter than quiet, which is {least}; write {least} or more")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> SettleConfig:
        if self.marker is not None and not self.model_fields_set.isdisjoint({"quiet", "max_wait", "close_write"}):
            raise ValueError("with a marker, the rest of settle has no effect; keep marker alone, or remove it")
        return self


class AfterUploadConfig(Section):
    """What becomes of the local file once S3 has said that it holds it."""

    action: Literal["keep", "delete", "move"] = "keep"
    """``keep``, ``delete`` or ``move``."""
    move_to: AbsolutePath | None = Field(None, validate_default=True)
    """The directory that delivered files move to, on the same file system as the route's path."""
    grace: Duration = 0.0
    """How long after delivery the file is deleted or moved."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if isinstance(value, str):
            return {"action": value}
        if isinstance(value, dict) and "action" not in value and value.get("move_to") is not None:
            return {"action": "move", **value}
        return value

    @field_validator("move_to")
    @classmethod
    def _target(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        action = info.data.get("action")
        if action == "move" and value is None:
            raise ValueError("moving needs a directory; write after_upload: {move_to: DIR}")
        if value is not None and action not in {"move", None}:
            raise ValueError(f"it has no effect with {action}; write {{move_to: DIR}} alone, or remove it")
        return value

    @field_validator("grace")
    @classmethod
    def _of_an_action(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("action") == "keep":
            raise ValueError(
                "it has no effect with keep; write {action: delete, grace: 1h} or {move_to: DIR, grace: 1h}"
            )
        return value


class Route(Section):
    """A watched directory."""

    name: Label = Field(examples=["exports"])
    """What the route is called in status, metrics and keys."""
    path: AbsolutePath = Field(examples=["/srv/exports"])
    """The directory to watch, with all below it."""
    destination: Label = Field(examples=["partner"])
    """The destination's name; may be left out where there is only one."""
    key: Annotated[Text, AfterValidator(_template)] = "{path}"
    """The object's key below key_prefix.

    From {path} {name} {stem} {suffix} {dir} {route} {hostname} {mtime:%Y/%m/%d} (UTC) {sha256}.
    """
    include: tuple[Pattern, ...] = Field(("**",), min_length=1)
    """Patterns in gitignore's syntax of what is delivered."""
    exclude: tuple[Pattern, ...] = ()
    """Patterns in gitignore's syntax of what is not."""
    settle: SettleConfig = SettleConfig()
    """When a file counts as finished."""
    rescan_interval: Duration = Field(300.0, gt=0)
    """How often the whole tree is walked, whatever the watcher says."""
    symlinks: Literal["skip", "follow_inside"] = "skip"
    """Whether symbolic links that stay inside the directory are followed."""
    cross_filesystems: Flag = False
    """Whether other file systems mounted inside the directory are walked too."""
    overwrite: Literal["always", "never"] = "always"
    """Whether an object that is there already is replaced."""
    after_upload: AfterUploadConfig = AfterUploadConfig()
    """What becomes of the local file once it is delivered."""


def without(route: Route, targets: Sequence[Path]) -> Route:
    """Exclude those of the directories that lie inside the route's tree."""
    inside = (target.relative_to(route.path) for target in targets if route.path in target.parents)
    patterns = (f"/{_literal(str(relative))}/" for relative in inside)
    return route.model_copy(update={"exclude": (*route.exclude, *dict.fromkeys(patterns))})


def _literal(path: str) -> str:
    """Write a path as a pattern of gitignore's syntax that matches it alone."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
