"""Errors in AWS's wording, in the XML of the service that returns them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_SPECIAL = re.compile(r"[&<>\"\x00-\x1f\x7f]")


class ApiError(Exception):
    """An error of S3 or STS: HTTP status, AWS code, message, and further elements of the error document."""

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
    """The connection was closed, by the client or by a scripted fault."""


def access_denied(message: str = "Access Denied") -> ApiError:
    """Build a 403 AccessDenied."""
    return ApiError(HTTPStatus.FORBIDDEN, "AccessDenied", message)


def invalid_request(message: str) -> ApiError:
    """Build a 400 InvalidRequest."""
    return ApiError(HTTPStatus.BAD_REQUEST, "InvalidRequest", message)


def invalid_argument(message: str, name: str = "", value: str = "") -> ApiError:
    """Build a 400 InvalidArgument."""
    return ApiError(HTTPStatus.BAD_REQUEST, "InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value})


def number(query: Mapping[str, str], name: str, default: int) -> int:
    """Read a number from the query; raises ApiError (InvalidArgument)."""
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise invalid_argument(f"Provided {name} not an integer or within integer range", name, text)
    return int(text)


def not_implemented() -> ApiError:
    """Build a 501 NotImplemented."""
    message = "A header or query you provided requests functionality that is not implemented"
    return ApiError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", message)


def escape(text: str) -> str:
    """Escape text for XML; control characters become character references, as in S3's responses."""
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0]) or f"&#x{ord(match[0]):x};", text)


def element(name: str, value: object) -> str:
    """Build an XML element that holds text."""
    return f"<{name}>{escape(str(value))}</{name}>"


def new_request_id() -> str:
    """Generate a request id in S3's format."""
    return secrets.token_hex(8).upper()


def s3_body(error: ApiError, request_id: str) -> bytes:
    """Build the ``<Error>`` document of S3."""
    fields = {
        "Code": error.code,
        "Message": error.message,
        **error.details,
        "RequestId": request_id,
        "HostId": f"host+{request_id}",
    }
    inner = "".join(element(name, value) for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()


def sts_body(error: ApiError, request_id: str) -> bytes:
    """Build the ``<ErrorResponse>`` document of STS."""
    side = "Sender" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
    inner = element("Type", side) + element("Code", error.code) + element("Message", error.message)
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    return (
        f'<ErrorResponse xmlns="{namespace}">\n<Error>{inner}</Error>\n{element("RequestId", request_id)}\n'
        "</ErrorResponse>"
    ).encode()
