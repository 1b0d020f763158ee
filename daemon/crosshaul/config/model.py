"""The configuration as the program sees it: frozen values, sizes in bytes, durations in seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from crosshaul.config.defaults import filled_in
from crosshaul.config.destination import Destination
from crosshaul.config.route import Route, without
from crosshaul.config.rules import is_loopback, source_name
from crosshaul.config.secret import PingUrl, Token, check_ping_url, check_token, one_of_two, read_secrets
from crosshaul.config.types import (
    AbsolutePath,
    Duration,
    Label,
    OptionalText,
    OptionalUrl,
    Region,
    Section,
    Size,
    Text,
    Whole,
)
from crosshaul.config.units import GIB, MIB, format_duration, format_size, parse_rate


class IdentityConfig(Section):
    """Account A: who signs sts:AssumeRole."""

    profile: OptionalText = None
    """A profile of the AWS config files; null = the standard chain of environment, SSO, IRSA, ECS, EC2."""
    region: Region = "us-east-1"
    """The region whose STS is asked."""
    sts_endpoint_url: OptionalUrl = None
    """Where STS is, for compatible stores; null = AWS."""


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError(f"{value!r} is not a time of day; write HH:MM")
    hours, minutes = value.split(":")
    return time(int(hours), int(minutes))


class BandwidthStep(Section):
    """From ``start`` (local time; None = always) on, this many bytes per second; None = no limit."""

    start: Annotated[time | None, BeforeValidator(_moment)] = None
    bytes_per_second: Annotated[int | None, BeforeValidator(parse_rate)] = None

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: object) -> object:
        if isinstance(value, (list, tuple)):
            if [type(item) for item in value] != [str, str]:
                raise ValueError('a step is a time and a rate; write ["08:00", "2MiB/s"]')
            return {"start": value[0], "bytes_per_second": value[1]}
        return value


def _steps(value: object) -> object:
    if value is None or value == "off":
        return ()
    return value if isinstance(value, (list, tuple)) else ({"bytes_per_second": parse_rate(value)},)


def _timetable(steps: tuple[BandwidthStep, ...]) -> tuple[BandwidthStep, ...]:
    starts = [step.start for step in steps if step.start is not None]
    if len(set(starts)) != len(starts):
        raise ValueError("two steps begin at the same time; keep one of them")
    return tuple(sorted(steps, key=lambda step: step.start or time.min))


_RATE_SCHEMA = {"type": ["string", "integer"], "minimum": 1}
_PAIR_SCHEMA = {"type": "array", "prefixItems": [{"type": "string"}, _RATE_SCHEMA], "minItems": 2, "maxItems": 2}
Bandwidth = Annotated[
    tuple[BandwidthStep, ...],
    BeforeValidator(_steps),
    AfterValidator(_timetable),
    WithJsonSchema({"anyOf": [_RATE_SCHEMA, {"type": "array", "items": _PAIR_SCHEMA}, {"type": "null"}]}),
]


class TransferConfig(Section):
    """How much goes at once."""

    max_concurrency: Whole = Field(64, ge=1, le=4096)
    """Requests in flight; fewer while the store asks for less."""
    part_size: Size = Field(8 * MIB, ge=5 * MIB, le=5 * GIB)
    """The size of a multipart upload's parts; grows so that no file needs more than 10,000."""
    multipart_threshold: Size = Field(16 * MIB, ge=5 * MIB, le=5 * GIB)
    """Files of this size and larger go in parts."""
    memory_limit: Size = Field(64 * MIB, validate_default=True)
    """Bytes of file data in flight."""
    bandwidth: Bandwidth = ()
    """A rate such as ``20MiB/s``, or a timetable of local times and rates; null = no limit."""

    @field_validator("memory_limit")
    @classmethod
    def _holds_a_part(cls, value: int, info: ValidationInfo) -> int:
        part = info.data.get("part_size", 0)
        if value < part:
            message = f"{format_size(value)} can't hold one part, and part_size is {format_size(part)}"
            raise ValueError(f"{message}; write {format_size(part)} or more")
        return value


class RetryConfig(Section):
    """When what failed is tried again: at random up to a bound that doubles from initial to max."""

    initial: Duration = Field(1.0, gt=0)
    """The first bound."""
    max: Duration = Field(300.0, validate_default=True)
    """The last bound."""
    quarantine_after: Whole | None = Field(None, ge=1)
    """Tries of a file before it is set aside; null = never."""

    @field_validator("max")
    @classmethod
    def _not_below(cls, value: float, info: ValidationInfo) -> float:
        initial = info.data.get("initial", 0.0)
        if value < initial:
            least = format_duration(initial)
            raise ValueError(
                f"{format_duration(value)} is shorter than initial, which is {least}; write {least} or more"
            )
        return value


class HostPort(Section):
    """An address to listen on; port 0 = any free one."""

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
                f"{value!r} is not an address to listen on; write HOST:PORT or [IPv6]:PORT: 127.0.0.1:9464"
            )
        return {"host": address[1] or address[2], "port": int(address[3])}

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Listen = Annotated[HostPort | None, WithJsonSchema({"type": ["string", "null"]})]


class HttpConfig(Section):
    """Metrics, health and the status page."""

    token: Token = None
    """What whoever asks has to show, beyond loopback always; /livez and /readyz are open."""
    token_file: AbsolutePath | None = None
    """Instead of token: a file that holds it."""
    listen: Listen = HostPort(host="127.0.0.1", port=9464)
    """HOST:PORT to listen on; beyond loopback only with a token; null = off."""

    def secret(self) -> str | None:
        """The token, its file read anew; None = none is asked for. ConfigError if the file can't serve."""
        if self.token_file is None:
            return self.token.get_secret_value() if self.token else None
        return read_secrets(self.token_file, "http.token_file", "token", check_token)[0]

    @field_validator("token_file")
    @classmethod
    def _one_token(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return one_of_two(value, info, "token")

    @field_validator("listen")
    @classmethod
    def _guarded(cls, value: HostPort | None, info: ValidationInfo) -> HostPort | None:
        tokens = [info.data.get(name, ...) for name in ("token", "token_file")]
        if value is not None and not value.local and tokens == [None, None]:
            raise ValueError(
                f"{value} is beyond loopback, where a token has to guard the page; add token_file (or token), "
                f"or write 127.0.0.1:{value.port}"
            )
        return value


class HeartbeatConfig(Section):
    """An address of a monitor that is asked while all is well, so that it can tell when it is not."""

    url: PingUrl = None
    """The address; a secret, since whoever has it can feign that all is well. null = off."""
    url_file: AbsolutePath | None = None
    """Instead of url: a file that holds it, read each time."""
    every: Duration = Field(60.0, ge=1)
    """How often."""
    max_age: Duration = Field(900.0, gt=0)
    """How long the oldest file may have waited for it to be asked."""

    def secret(self) -> str | None:
        """The address, its file read anew; None = off. ConfigError if the file can't serve."""
        if self.url_file is None:
            return self.url.get_secret_value() if self.url else None
        return read_secrets(self.url_file, "heartbeat.url_file", "address", check_ping_url)[0]

    @field_validator("url_file")
    @classmethod
    def _one_url(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return one_of_two(value, info, "url")


class LogConfig(Section):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    format: Literal["auto", "console", "json"] = "auto"
    """``auto`` = console on a terminal and json elsewhere."""


def _source(value: str) -> str:
    source_name(value, Path("/"))
    return value


class Config(Section):
    """The whole file."""

    state_dir: AbsolutePath = Field(examples=["/var/lib/crosshaul"])
    """The directory of the journal, the lock and the control socket; made with mode 0700."""
    source: Annotated[Text, AfterValidator(_source)] = Field("{hostname}-{state_dir}", examples=["crm-exports"])
    """Who puts the objects, as their metadata say, so that two senders in one place notice each other; {hostname} and
    {state_dir} (a few digits that stand for that directory) are filled in. Daemons that take each other's place get the
    same name."""
    identity: IdentityConfig = IdentityConfig()
    """Account A."""
    destinations: dict[Label, Destination] = Field(min_length=1, examples=[{"partner": {"bucket": "partner-bucket"}}])
    """The partners' buckets, by a name of your own."""
    routes: tuple[Route, ...] = Field(min_length=1, examples=[[{"name": "exports", "path": "/srv/exports"}]])
    """The watched directories."""
    transfer: TransferConfig = TransferConfig()
    """How much goes at once."""
    retry: RetryConfig = RetryConfig()
    """When what failed is tried again."""
    http: HttpConfig = HttpConfig()
    """Metrics, health and the status page; null = off."""
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    """A monitor's address that is asked while all is well."""
    log: LogConfig = LogConfig()
    """What is logged."""
    shutdown_timeout: Duration = 30.0
    """How long a stop waits for uploads in flight."""
    _announced: tuple[str, ...] = PrivateAttr(())

    @property
    def announced(self) -> tuple[str, ...]:
        """What the environment adds to the file, each a sentence."""
        return self._announced

    def announce(self, told: Sequence[str]) -> None:
        """Keep what the environment added."""
        self._announced = tuple(told)

    @property
    def source_name(self) -> str:
        """``source``, filled in."""
        return source_name(self.source, self.state_dir)

    def secrets(self) -> tuple[str, ...]:
        """What stands in the file itself and may be told nowhere; what other files hold is read when it is used."""
        found = [secret for each in self.destinations.values() for secret in each.external_id]
        found += [each for each in (self.http.token, self.heartbeat.url) if each is not None]
        return tuple(secret.get_secret_value() for secret in found)

    @field_validator("http", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return {"listen": None} if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: object) -> object:
        return filled_in(data) if isinstance(data, dict) else data

    @field_validator("routes")
    @classmethod
    def _exclude_move_targets(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        """Leave out of each watched tree what routes move into it: it would be delivered again, and for ever."""
        targets = [route.after_upload.move_to for route in routes if route.after_upload.move_to is not None]
        return tuple(without(route, targets) for route in routes)
