"""The kinds of value that the models are made of: each says in a sentence what is wrong and what to write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from crosshaul.config.rules import is_region
from crosshaul.config.units import parse_duration, parse_size

_VARIABLE = {"type": "string", "pattern": r"\$\{"}
"""Any value can be an environment variable."""


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def scalar_schema(**schema: str | list[str]) -> WithJsonSchema:
    """Describe a scalar as the file may hold it: of its own type, or a variable that stands for it."""
    return WithJsonSchema({"anyOf": [schema, _VARIABLE]})


def _whole(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValueError(f"{value!r} is not a whole number; write digits only")
        return int(value)
    return value


def _flag(value: object) -> object:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str):
        if value.lower() not in words:
            raise ValueError(f"{value!r} is neither true nor false; write true or false")
        return words[value.lower()]
    return value


def absolute(value: Path) -> Path:
    """Refuse a path that depends on where the program was started."""
    if not value.is_absolute():
        raise ValueError(f"{str(value)!r} is not an absolute path; begin it with '/'")
    if ".." in value.parts:
        raise ValueError(f"{str(value)!r} holds '..'; write the path without it")
    return value


def check_url(value: str) -> str:
    """Hold an endpoint's address against what can be asked; returns it without a slash at its end."""
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("it is not an http(s) address; write https://HOST or https://HOST:PORT") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user name or password; credentials belong in the AWS credential chain")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_fits:
        raise ValueError(f"{value!r} is not an http(s) address; write https://HOST or https://HOST:PORT")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{value!r} has something after its host; write {parts.scheme}://{parts.netloc}")
    _check_host(parts.hostname)
    return value.rstrip("/")


def _check_host(host: str) -> None:
    """Hold a host's name against what the AWS SDK takes, which is what DNS and certificates take."""
    if ":" in host or re.fullmatch(r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)\.?", host):
        return
    advice = "give the service a name of letters, digits, '-' and '.', such as a network alias without '_'"
    if not host.isascii():
        try:
            advice = f"write {host.encode('idna').decode()}"
        except UnicodeError:
            advice = "write it in ASCII (xn--...)"
    raise ValueError(f"{host!r} is no host name that S3 and STS can be asked under; {advice}")


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value!r} is not a region; write for instance eu-central-1")
    return value


def _label(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError(
            f"{value!r} is not a name; write 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit"
        )
    return value


def blank(value: object) -> object:
    """Nothing for an empty text, so that ${VAR:-} can leave an optional setting out."""
    return None if value == "" else value


Text = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]
Label = Annotated[str, AfterValidator(_label), WithJsonSchema({"type": ["string", "number"]})]
Whole = Annotated[int, BeforeValidator(_whole), scalar_schema(type="integer")]
Flag = Annotated[bool, BeforeValidator(_flag), scalar_schema(type="boolean")]
Size = Annotated[
    int, BeforeValidator(parse_size), WithJsonSchema({"type": ["string", "integer"], "format": "size", "minimum": 0})
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "format": "duration", "minimum": 0}),
]
AbsolutePath = Annotated[Path, AfterValidator(absolute), scalar_schema(type="string", pattern="^/")]
Url = Annotated[str, AfterValidator(check_url), scalar_schema(type="string", pattern="^(https?://.*)?$")]
OptionalUrl = Annotated[Url | None, BeforeValidator(blank)]
OptionalText = Annotated[Text | None, BeforeValidator(blank)]
Region = Annotated[str, AfterValidator(_region), WithJsonSchema({"type": "string"})]
