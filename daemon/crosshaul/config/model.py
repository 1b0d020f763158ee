"""The configuration as a frozen model: sizes in bytes, durations in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from crosshaul.config.bandwidth import Bandwidth
from crosshaul.config.derived_defaults import apply_defaults
from crosshaul.config.destination import Destination
from crosshaul.config.http_server import HttpConfig
from crosshaul.config.route import Route, exclude_directories
from crosshaul.config.rules import source_name
from crosshaul.config.secret import PingUrl, check_ping_url, one_of_two, read_secrets
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
from crosshaul.config.units import GIB, MIB, format_duration, format_size


class IdentityConfig(Section):
    """Account A: the credentials that assume the roles."""

    profile: OptionalText = None
    """A profile of the AWS config files. null = the default credential chain."""
    region: Region = "us-east-1"
    """The region of the STS endpoint."""
    sts_endpoint_url: OptionalUrl = None
    """The STS endpoint of a compatible store, `https://HOST:PORT`. null = AWS.

    With it, roles' accounts and session durations follow the rules of the store. All STS calls use it, including those
    of the credential chain (IRSA, `source_profile`).
    """


class TransferConfig(Section):
    """Concurrency, multipart uploads, memory and bandwidth."""

    max_concurrency: Whole = Field(64, ge=1, le=4096)
    """The maximum number of concurrent requests, 1 to 4096. Fewer are used while the store throttles."""
    part_size: Size = Field(8 * MIB, ge=5 * MIB, le=5 * GIB)
    """The size of the parts of a multipart upload, 5MiB to 5GiB. Larger when a file would need more than 10,000 parts.
    """
    multipart_threshold: Size = Field(16 * MIB, ge=5 * MIB, le=5 * GIB)
    """Files of this size or larger are uploaded in parts. 5MiB to 5GiB.

    Smaller files are uploaded in parts too when they do not fit into `memory_limit`.
    """
    memory_limit: Size = Field(64 * MIB, validate_default=True)
    """The maximum amount of file data in memory. At least `part_size`.

    Parts that do not fit (of files above 400 GB with the defaults) are read twice instead of being kept in memory.
    Files above 48.8 TiB, the largest object of S3, are quarantined.
    """
    bandwidth: Bandwidth = ()
    """An upload rate such as `20MiB/s`, or a schedule in local time such as `[["08:00", "2MiB/s"], ["19:00", "off"]]`.
    null = no limit.

    Each rate of a schedule applies until the next step, the last one past midnight.
    """

    @field_validator("memory_limit")
    @classmethod
    def _at_least_a_part(cls, value: int, info: ValidationInfo) -> int:
        part = info.data.get("part_size", 0)
        if value < part:
            message = f"{format_size(value)} is less than part_size, which is {format_size(part)}"
            raise ValueError(f"{message}; write {format_size(part)} or more")
        return value


class RetryConfig(Section):
    """Retries: after a random delay up to a limit that doubles from `initial` to `max`."""

    initial: Duration = Field(1.0, gt=0)
    """The first delay limit."""
    max: Duration = Field(300.0, validate_default=True)
    """The largest delay limit. At least `initial`."""
    quarantine_after: Whole | None = Field(None, ge=1)
    """The number of attempts after which a file is quarantined. null = never.

    `crosshaul retry` queues quarantined files again. Only failures that concern the file count: it cannot be read, it
    arrives damaged, its upload cannot be completed, or the store refuses it while it accepts others. Outages,
    throttling, a missing directory and a lack of file descriptors or memory do not count.
    """

    @field_validator("max")
    @classmethod
    def _at_least_initial(cls, value: float, info: ValidationInfo) -> float:
        initial = info.data.get("initial", 0.0)
        if value < initial:
            least = format_duration(initial)
            raise ValueError(f"{format_duration(value)} is less than initial, which is {least}; write {least} or more")
        return value


class HeartbeatConfig(Section):
    """A URL of a monitoring service that is requested while the daemon is healthy."""

    url: PingUrl = None
    """The URL, as the monitoring service gives it. It is a secret: no message, log or status shows it. null = off."""
    url_file: AbsolutePath | None = None
    """A file that contains the URL, instead of `url`. It is read for each request."""
    every: Duration = Field(60.0, ge=1)
    """The interval between requests."""
    max_age: Duration = Field(900.0, gt=0)
    """The maximum age of a pending file. If one is older, no request is sent."""

    def secret(self) -> str | None:
        """Return the URL, read from its file if there is one (blocking); None = off. Raises ConfigError."""
        if self.url_file is None:
            return self.url.get_secret_value() if self.url else None
        return read_secrets(self.url_file, "heartbeat.url_file", "URL", check_ping_url)[0]

    @field_validator("url_file")
    @classmethod
    def _one_url(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return one_of_two(value, info, "url")


class LogConfig(Section):
    """Logging to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level to log."""
    format: Literal["auto", "console", "json"] = "auto"
    """The log format. auto = console on a terminal, json elsewhere."""


def _source(value: str) -> str:
    source_name(value, Path("/"))
    return value


class Config(Section):
    """The configuration file."""

    state_dir: AbsolutePath = Field(examples=["/var/lib/crosshaul"])
    """The directory of the journal, the lock and the control socket. It is created with mode 0700, and each daemon
    needs its own.

    It must not be inside a watched directory.
    """
    source: Annotated[Text, AfterValidator(_source)] = Field("{hostname}-{state_dir}", examples=["crm-exports"])
    """The name of this sender in the metadata of its objects (`crosshaul-source`), by which two senders to one key
    detect each other. `{hostname}` and `{state_dir}` (eight digits derived from that path) are replaced.

    Daemons that replace each other, such as the pods of a Deployment, need the same name; see [two senders in one
    place](OPERATIONS.md#two-senders-in-one-place).
    """
    identity: IdentityConfig = IdentityConfig()
    """Account A: the credentials that assume the roles. Secret keys do not belong here."""
    destinations: dict[Label, Destination] = Field(min_length=1, examples=[{"partner": {"bucket": "partner-bucket"}}])
    """The partners' buckets, by names of your choice. At least one."""
    routes: tuple[Route, ...] = Field(min_length=1, examples=[[{"name": "exports", "path": "/srv/exports"}]])
    """The watched directories. At least one."""
    transfer: TransferConfig = TransferConfig()
    """Concurrency, multipart uploads, memory and bandwidth."""
    retry: RetryConfig = RetryConfig()
    """Retries: after a random delay up to a limit that doubles from `initial` to `max`."""
    http: HttpConfig = HttpConfig()
    """Metrics, health checks and the status page. `http: null` = off."""
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    """A URL of a monitoring service that is requested while the daemon is healthy, so that the service raises an alert
    when the requests stop.
    """
    log: LogConfig = LogConfig()
    """Logging to standard error."""
    shutdown_timeout: Duration = 30.0
    """How long a shutdown waits for uploads in progress.

    With `run --finish` it waits that long for all finished files.
    """
    _environment_notes: tuple[str, ...] = PrivateAttr(())

    @property
    def environment_notes(self) -> tuple[str, ...]:
        """The settings that come from the environment, one line each."""
        return self._environment_notes

    def note_environment(self, notes: Sequence[str]) -> None:
        """Keep the lines about settings that come from the environment."""
        self._environment_notes = tuple(notes)

    @property
    def source_name(self) -> str:
        """``source`` with its variables replaced."""
        return source_name(self.source, self.state_dir)

    def secrets(self) -> tuple[str, ...]:
        """List the secrets that are in the file itself; those in other files are read when they are used."""
        secrets = [secret for destination in self.destinations.values() for secret in destination.external_id]
        secrets += [secret for secret in (self.http.token, self.heartbeat.url) if secret is not None]
        return tuple(secret.get_secret_value() for secret in secrets)

    @field_validator("http", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return {"listen": None} if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, data: object) -> object:
        return apply_defaults(data) if isinstance(data, dict) else data

    @field_validator("routes")
    @classmethod
    def _exclude_move_targets(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        """Exclude the targets of moves from each watched tree, so that no file is delivered again and again."""
        targets = [route.after_upload.move_to for route in routes if route.after_upload.move_to is not None]
        return tuple(exclude_directories(route, targets) for route in routes)
