"""The configuration: one YAML file, checked whole, as frozen values. The only user of pydantic and yaml."""

from crosshaul.config.destination import Destination
from crosshaul.config.exposure import exposed
from crosshaul.config.load import INLINE, load
from crosshaul.config.model import BandwidthStep, Config, Heartbeat, HostPort, Http, Identity, Log, Retry, Transfer
from crosshaul.config.overlaps import overlaps
from crosshaul.config.route import AfterUpload, Route, Settle
from crosshaul.config.schema import schema

__all__ = [
    "INLINE",
    "AfterUpload",
    "BandwidthStep",
    "Config",
    "Destination",
    "Heartbeat",
    "HostPort",
    "Http",
    "Identity",
    "Log",
    "Retry",
    "Route",
    "Settle",
    "Transfer",
    "exposed",
    "load",
    "overlaps",
    "schema",
]
