"""The configuration: one YAML file, checked whole, as frozen values. The only user of pydantic and yaml."""

from crosshaul.config.destination import Destination
from crosshaul.config.exposure import exposed
from crosshaul.config.load import INLINE, load
from crosshaul.config.model import (
    BandwidthStep,
    Config,
    HeartbeatConfig,
    HostPort,
    HttpConfig,
    IdentityConfig,
    LogConfig,
    RetryConfig,
    TransferConfig,
)
from crosshaul.config.overlaps import overlaps
from crosshaul.config.route import AfterUploadConfig, Route, SettleConfig
from crosshaul.config.schema import schema

__all__ = [
    "INLINE",
    "AfterUploadConfig",
    "BandwidthStep",
    "Config",
    "Destination",
    "HeartbeatConfig",
    "HostPort",
    "HttpConfig",
    "IdentityConfig",
    "LogConfig",
    "RetryConfig",
    "Route",
    "SettleConfig",
    "TransferConfig",
    "exposed",
    "load",
    "overlaps",
    "schema",
]
