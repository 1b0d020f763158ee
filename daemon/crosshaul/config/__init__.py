"""Load and check the configuration file. The only user of pydantic and yaml."""

from crosshaul.config.bandwidth import BandwidthStep
from crosshaul.config.destination import Destination
from crosshaul.config.http_server import HostPort, HttpConfig
from crosshaul.config.load import INLINE, load
from crosshaul.config.model import (
    Config,
    HeartbeatConfig,
    IdentityConfig,
    LogConfig,
    RetryConfig,
    TransferConfig,
)
from crosshaul.config.object_conflicts import overlaps
from crosshaul.config.route import AfterUploadConfig, Route, SettleConfig
from crosshaul.config.schema import schema
from crosshaul.config.writable_by_others import files_writable_by_others

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
    "files_writable_by_others",
    "load",
    "overlaps",
    "schema",
]
