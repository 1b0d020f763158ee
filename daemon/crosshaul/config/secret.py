"""Secrets in the configuration, or in a file that it names. No message quotes a secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo, WithJsonSchema

from crosshaul.config.types import none_if_empty
from crosshaul.errors import ConfigError

_MIN_TOKEN_LENGTH = 16


def check_token(value: str) -> None:
    """Check a token by the syntax of the Bearer header (RFC 6750), and for a minimum length."""
    if len(value) < _MIN_TOKEN_LENGTH:
        raise ValueError(
            f"a token has at least {_MIN_TOKEN_LENGTH} characters, this one has {len(value)}; write a longer one"
        )
    if not re.fullmatch(r"[\w.~+/-]+=*", value, re.ASCII):
        raise ValueError(
            "a token contains only the characters A-Z a-z 0-9 - . _ ~ + / and = at its end; write another one"
        )


def check_ping_url(value: str) -> None:
    """Check the URL of a heartbeat."""
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("not an http(s) URL; write https://HOST/PATH, as the monitoring service gives it")


def _token(secret: SecretStr) -> SecretStr:
    check_token(secret.get_secret_value())
    return secret


def _ping_url(secret: SecretStr) -> SecretStr:
    check_ping_url(secret.get_secret_value())
    return secret


_OPTIONAL = WithJsonSchema({"type": ["string", "integer", "null"]})
Token = Annotated[Annotated[SecretStr, AfterValidator(_token)] | None, BeforeValidator(none_if_empty), _OPTIONAL]
PingUrl = Annotated[Annotated[SecretStr, AfterValidator(_ping_url)] | None, BeforeValidator(none_if_empty), _OPTIONAL]


def one_of_two(value: Path | None, info: ValidationInfo, other: str) -> Path | None:
    """Refuse the file of a secret beside the secret itself."""
    if value is not None and info.data.get(other):
        raise ValueError(f"{other} is set too; remove one of the two")
    return value


def read_secrets(path: Path, place: str, what: str, check: Callable[[str], None]) -> tuple[str, ...]:
    """Read the lines of a file, each of them ``what``; ``place`` is the key that names it. Raises ConfigError."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except OSError as error:
        raise ConfigError(
            [f"{place}: {path} cannot be read ({error.strerror}); check that it exists and is readable"]
        ) from error
    except UnicodeDecodeError:
        raise ConfigError([f"{place}: {path} is not text; write one {what} per line"]) from None
    faults = [] if any(lines) else [f"{place}: {path} is empty; write one {what} per line"]
    for number, line in enumerate(lines, 1):
        try:
            if line:
                check(line)
        except ValueError as error:
            faults.append(f"{place}: {path}:{number}: {error}")
    if faults:
        raise ConfigError(faults)
    return tuple(line for line in lines if line)
