"""The value types of the models. A ValueError says what is wrong and what to write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from crosshaul.config.rules import is_region
from crosshaul.config.units import parse_duration, parse_size

_VARIABLE = {"type": "string", "pattern": r"\$\{"}
"""An environment variable, which any value can be."""


class Section(BaseModel):
    """A mapping of the file. Unknown keys are errors, and values are frozen.

    The docstring of an attribute is the text of its key, in Markdown: its first paragraph for schema.json,
    config.example.yaml and docs/CONFIGURATION.md, further paragraphs for docs/CONFIGURATION.md only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def scalar_schema(**schema: str | list[str]) -> WithJsonSchema:
    """Describe a scalar of the file: of its own type, or an environment variable."""
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
            raise ValueError(f"{value!r} is not true or false; write true or false")
        return words[value.lower()]
    return value


def absolute(value: Path) -> Path:
    """Check that a path is absolute and has no ``..``."""
    if not value.is_absolute():
        raise ValueError(f"{str(value)!r} is not an absolute path; start it with '/'")
    if ".." in value.parts:
        raise ValueError(f"{str(value)!r} contains '..'; write the path without it")
    return value


def check_url(value: str) -> str:
    """Check the URL of an endpoint, and return it without a trailing slash."""
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("not an http(s) URL; write https://HOST or https://HOST:PORT") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains a user name or password; use the AWS credential chain for credentials")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_fits:
        raise ValueError(f"{value!r} is not an http(s) URL; write https://HOST or https://HOST:PORT")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{value!r} has a path or query after the host; write {parts.scheme}://{parts.netloc}")
    _check_host(parts.hostname)
    return value.rstrip("/")


def _check_host(host: str) -> None:
    """Check a host name by the rules of the AWS SDK, which are those of DNS and certificates."""
    if ":" in host or re.fullmatch(r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)\.?", host):
        return
    advice = "use a name of letters, digits, '-' and '.', such as a network alias without '_'"
    if not host.isascii():
        try:
            advice = f"write {host.encode('idna').decode()}"
        except UnicodeError:
            advice = "write it in ASCII (xn--...)"
    raise ValueError(f"{host!r} is not a valid host name; {advice}")


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value!r} is not a region; write for example eu-central-1")
    return value


def _label(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError(
            f"{value!r} is not a name; write 1 to 64 characters A-Z a-z 0-9 . _ - that start with a letter or digit"
        )
    return value


def none_if_empty(value: object) -> object:
    """Replace empty text by None, so that ${VAR:-} can leave an optional setting out."""
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
OptionalUrl = Annotated[Url | None, BeforeValidator(none_if_empty)]
OptionalText = Annotated[Text | None, BeforeValidator(none_if_empty)]
Region = Annotated[str, AfterValidator(_region), WithJsonSchema({"type": "string"})]
