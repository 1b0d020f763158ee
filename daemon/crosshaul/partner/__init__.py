"""A simulated partner account: STS and S3 on loopback, as strict as AWS, with a script of faults.

The demo and the tests use it. No other package of Crosshaul imports it.
"""

from crosshaul.partner.account import PartnerAccount
from crosshaul.partner.fault_rules import Rule
from crosshaul.partner.faults import (
    Close,
    Corrupt,
    Delay,
    DelayedCommit,
    Error,
    ErrorInBody,
    Reset,
    Stall,
    TruncatedResponse,
    WrongETag,
)
from crosshaul.partner.settings import Settings, document, statement
from crosshaul.partner.state import Call
from crosshaul.partner.store import StoredObject

__all__ = [
    "Call",
    "Close",
    "Corrupt",
    "Delay",
    "DelayedCommit",
    "Error",
    "ErrorInBody",
    "PartnerAccount",
    "Reset",
    "Rule",
    "Settings",
    "Stall",
    "StoredObject",
    "TruncatedResponse",
    "WrongETag",
    "document",
    "statement",
]
