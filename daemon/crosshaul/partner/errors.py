"""Refusals as AWS words them, in the XML shape of the service that refuses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_SPECIAL = re.compile(r"[&<>\"\x00-\x1f\x7f]")


class Refusal(Exception):
    """An error answer: HTTP status, AWS's code and message, and the further elements that AWS puts beside them."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.details = dict(details or {})


class ConnectionGoneError(Exception):
    """The connection ended, by the client's doing or by a scripted fault: there is nobody to answer."""


def access_denied(message: str = "Access Denied") -> Refusal:
    """403 AccessDenied."""
    return Refusal(HTTPStatus.FORBIDDEN, "AccessDenied", message)


def invalid_request(message: str) -> Refusal:
    """400 InvalidRequest."""
    return Refusal(HTTPStatus.BAD_REQUEST, "InvalidRequest", message)


def invalid_argument(message: str, name: str = "", value: str = "") -> Refusal:
    """400 InvalidArgument."""
    return Refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value})


def number(query: Mapping[str, str], name: str, default: int) -> int:
    """A number out of the query; raises Refusal (InvalidArgument)."""
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise invalid_argument(f"Provided {name} not an integer or within integer range", name, text)
    return int(text)


def not_implemented() -> Refusal:
    """501 NotImplemented."""
    message = "A header or query you provided requests functionality that is not implemented"
    return Refusal(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", message)


def escape(text: str) -> str:
    """Text as XML content; control characters become character references, as S3 writes them."""
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0]) or f"&#x{ord(match[0]):x};", text)


def element(name: str, value: object) -> str:
    """One XML element with text in it."""
    return f"<{name}>{escape(str(value))}</{name}>"


def new_request_id() -> str:
    """A request id in S3's manner."""
    return secrets.token_hex(8).upper()


def s3_body(refusal: Refusal, request_id: str) -> bytes:
    """The ``<Error>`` document of S3."""
    fields = {
        "Code": refusal.code,
        "Message": refusal.message,
        **refusal.details,
        "RequestId": request_id,
        "HostId": f"host+{request_id}",
    }
    inner = "".join(element(name, value) for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()


def sts_body(refusal: Refusal, request_id: str) -> bytes:
    """The ``<ErrorResponse>`` document of STS."""
    side = "Sender" if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
    inner = element("Type", side) + element("Code", refusal.code) + element("Message", refusal.message)
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    return (
        f'<ErrorResponse xmlns="{namespace}">\n<Error>{inner}</Error>\n{element("RequestId", request_id)}\n'
        "</ErrorResponse>"
    ).encode()
