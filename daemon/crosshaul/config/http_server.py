"""The HTTP server's section: address and token."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from crosshaul.config.rules import is_loopback
from crosshaul.config.secret import Token, check_token, one_of_two, read_secrets
from crosshaul.config.types import AbsolutePath, Section


class HostPort(Section):
    """An address to listen on; port 0 = any free port."""

    host: str
    port: int = Field(ge=0, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        address = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", value)
        if address is None:
            raise ValueError(
                f"{value!r} is not an address to listen on; write HOST:PORT or [IPv6]:PORT, for example 127.0.0.1:9464"
            )
        return {"host": address[1] or address[2], "port": int(address[3])}

    @property
    def local(self) -> bool:
        """True if only this machine can reach the address."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Listen = Annotated[HostPort | None, WithJsonSchema({"type": ["string", "null"]})]


class HttpConfig(Section):
    """Metrics, health checks and the status page."""

    token: Token = None
    """The bearer token, at least 16 characters. Browsers send it as the password, with any user name. Required when
    `listen` is not a loopback address.

    `/livez` and `/readyz` need no token, and then answer only `ok` or `not ok`.
    """
    token_file: AbsolutePath | None = None
    """A file that contains the token, instead of `token`. It is read at the start."""
    listen: Listen = HostPort(host="127.0.0.1", port=9464)
    """The address to listen on, HOST:PORT or [IPv6]:PORT. Port 0 = any free port. null = off."""

    def secret(self) -> str | None:
        """Return the token, read from its file if there is one (blocking); None = none. Raises ConfigError."""
        if self.token_file is None:
            return self.token.get_secret_value() if self.token else None
        return read_secrets(self.token_file, "http.token_file", "token", check_token)[0]

    @field_validator("token_file")
    @classmethod
    def _one_token(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return one_of_two(value, info, "token")

    @field_validator("listen")
    @classmethod
    def _require_token(cls, value: HostPort | None, info: ValidationInfo) -> HostPort | None:
        tokens = [info.data.get(name, ...) for name in ("token", "token_file")]
        if value is not None and not value.local and tokens == [None, None]:
            raise ValueError(
                f"{value} is reachable from other machines and there is no token; add token_file (or token), "
                f"or write 127.0.0.1:{value.port}"
            )
        return value
