"""A partner account to practise on: STS and S3 on loopback, as strict as AWS, with a script of faults.

The demo and the tests use it. Nothing else of Crosshaul imports it.
"""

from crosshaul.partner.account import PartnerAccount
from crosshaul.partner.faults import (
    Close,
    Corrupt,
    Delay,
    Error,
    ErrorInside,
    HalfAnswer,
    Late,
    Reset,
    Rule,
    Stall,
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
    "Error",
    "ErrorInside",
    "HalfAnswer",
    "Late",
    "PartnerAccount",
    "Reset",
    "Rule",
    "Settings",
    "Stall",
    "StoredObject",
    "WrongETag",
    "document",
    "statement",
]
