"""A route: a watched directory, and how its files are delivered."""

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
        raise ValueError(f"{value!r} is a comment in gitignore syntax and matches nothing; write {chr(92) + value!r}")
    return value


def _marker(value: str) -> str:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(value) if field is not None]
    except ValueError:
        raise ValueError("its braces do not match; write for example {path}.done") from None
    unknown = [field for field in fields if field not in _MARKER_FIELDS]
    if unknown:
        known = " ".join(f"{{{name}}}" for name in _MARKER_FIELDS)
        raise ValueError(f"{{{unknown[0]}}} is not a field of a marker; write one of {known}")
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(
            f"{value!r} is outside the watched directory; write a path relative to it, such as {{path}}.done"
        )
    if value in {"", "{path}", "{dir}/{name}"}:
        raise ValueError("a file cannot be its own marker; write for example {path}.done")
    return value


Pattern = Annotated[Text, AfterValidator(_pattern)]


class SettleConfig(Section):
    """When a file counts as finished: after a quiet period, or when its marker file exists."""

    quiet: Duration = 2.0
    """How long size, times and inode must stay unchanged. 0s = upload files as soon as they are seen."""
    max_wait: Duration = Field(600.0, validate_default=True)
    """How long to wait for a file that keeps changing. At least `quiet`.

    After that it is uploaded if it is only appended to; see [a file that never settles](OPERATIONS.md#what-to-know).
    """
    close_write: Flag = False
    """Treat a file as finished when its writer closes it (Linux). For writers that open, write and close a file once.
    """
    marker: Annotated[Text, AfterValidator(_marker)] | None = None
    """A file that marks another file as finished, instead of the other keys: a template of `{path}`, `{name}`,
    `{stem}`, `{suffix}`, `{dir}`, such as `{path}.done`, relative to the route's path. It must not be older than the
    file.
    """

    @field_validator("max_wait")
    @classmethod
    def _at_least_quiet(cls, value: float, info: ValidationInfo) -> float:
        quiet = info.data.get("quiet", 0.0)
        if value < quiet:
            least = format_duration(quiet)
            raise ValueError(f"{format_duration(value)} is less than quiet, which is {least}; write {least} or more")
        return value

    @model_validator(mode="after")
    def _marker_alone(self) -> SettleConfig:
        if self.marker is not None and not self.model_fields_set.isdisjoint({"quiet", "max_wait", "close_write"}):
            raise ValueError("marker replaces the other keys of settle; remove either marker or the others")
        return self


class AfterUploadConfig(Section):
    """What to do with the local file after S3 confirmed its object."""

    action: Literal["keep", "delete", "move"] = "keep"
    """What to do with the file. `move_to` implies move."""
    move_to: AbsolutePath | None = Field(None, validate_default=True)
    """The directory to move delivered files to, on the same mount as the route's path. Required to move.

    Symlinks in it are resolved at the start, and are not followed below a watched directory. It may be inside a watched
    directory, where it is then excluded; it must not be one itself.
    """
    grace: Duration = 0.0
    """The delay between delivery and deletion or move."""

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
            raise ValueError("move needs a directory; write after_upload: {move_to: DIR}")
        if value is not None and action not in {"move", None}:
            raise ValueError(f"it has no effect with action {action}; write {{move_to: DIR}}, or remove it")
        return value

    @field_validator("grace")
    @classmethod
    def _needs_an_action(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("action") == "keep":
            raise ValueError(
                "it has no effect with action keep; write {action: delete, grace: 1h} or {move_to: DIR, grace: 1h}"
            )
        return value


class Route(Section):
    """A watched directory."""

    name: Label = Field(examples=["exports"])
    """The name of the route in status, metrics and keys. Each route needs its own."""
    path: AbsolutePath = Field(examples=["/srv/exports"])
    """The directory to watch, including its subdirectories."""
    destination: Label = Field(examples=["partner"])
    """The name of a destination. Optional when there is only one."""
    key: Annotated[Text, AfterValidator(_template)] = "{path}"
    """The template of the object key below `key_prefix`: `{path}` `{name}` `{stem}` `{suffix}` `{dir}` `{route}`
    `{hostname}` `{mtime:%Y/%m/%d}` (UTC) `{sha256}`; `{{` and `}}` are braces.

    See below.
    """
    include: tuple[Pattern, ...] = Field(("**",), min_length=1)
    """Patterns in gitignore syntax of the files to deliver. Hidden files are included."""
    exclude: tuple[Pattern, ...] = ()
    """Patterns in gitignore syntax of the files to leave out. A `move_to` inside a watched directory is always
    excluded.
    """
    settle: SettleConfig = SettleConfig()
    """When a file counts as finished. A file that is renamed into the directory is finished at once."""
    rescan_interval: Duration = Field(300.0, gt=0)
    """How often the whole directory tree is scanned, in addition to file system events."""
    symlinks: Literal["skip", "follow_inside"] = "skip"
    """Skip symbolic links, or follow those that stay inside the directory."""
    cross_filesystems: Flag = False
    """Scan other file systems that are mounted inside the directory."""
    overwrite: Literal["always", "never"] = "always"
    """Replace an existing object. never = `If-None-Match: *`.

    `never` leaves an existing object alone unless it is this very file, and quarantines the file. Besides
    `If-None-Match: *` it sends a HEAD before a large file and, when the store has not been seen to check that
    condition, before every file. With `{sha256}` in `key`, an object of the same size and checksum counts as the file.
    """
    after_upload: AfterUploadConfig = AfterUploadConfig()
    """What to do with the local file after S3 confirmed its object: keep, delete, `{move_to: DIR}`, `{action: delete,
    grace: 1h}` or `{move_to: DIR, grace: 1h}`.
    """


def exclude_directories(route: Route, targets: Sequence[Path]) -> Route:
    """Exclude the directories that are inside the route's tree."""
    inside = (target.relative_to(route.path) for target in targets if route.path in target.parents)
    patterns = (f"/{_literal(str(relative))}/" for relative in inside)
    return route.model_copy(update={"exclude": (*route.exclude, *dict.fromkeys(patterns))})


def _literal(path: str) -> str:
    """Escape a path as a gitignore pattern that matches only that path."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
