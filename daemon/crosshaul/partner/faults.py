"""A script of faults: which call goes wrong, and how.

Each action hooks into the places where a real service, or the network in front of it, goes wrong. Which call of STS a
request is stands in its body, so what goes wrong there goes wrong after the body.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, ClassVar, Literal, NoReturn

from aiohttp import ClientError, web

from crosshaul.partner.errors import ConnectionGoneError, Refusal, element
from crosshaul.partner.exchange import Answer, Exchange
from crosshaul.partner.routing import Target

When = Literal["before_body", "mid_body", "after_body", "after_commit"]


class Action:
    """A call on which nothing goes wrong; faults override where they strike."""

    kind: ClassVar[str] = "none"

    async def before(self, exchange: Exchange) -> None:
        """Before anything of the request but its head is looked at."""

    async def before_body(self, exchange: Exchange) -> None:
        """The request passed its checks, and its body would now be asked for and read."""

    def store(self, data: bytes) -> tuple[bytes, bytes]:
        """A piece of the body: what the checksums see, and what is stored."""
        return data, data

    async def taken(self, exchange: Exchange) -> None:
        """The body is in, and what was asked for is about to be done."""

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """The call is done: the answer that goes out."""
        del exchange
        return answer

    async def between(self, exchange: Exchange) -> None:
        """The first half of the answer's body is out."""


async def _discard_body(exchange: Exchange) -> None:
    await exchange.send_continue()
    try:
        while await exchange.request.content.readany():
            pass
    except (ConnectionError, ClientError, web.RequestPayloadError):
        raise ConnectionGoneError from None


def abort(exchange: Exchange) -> NoReturn:
    """Reset the connection (RST)."""
    transport = exchange.request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise ConnectionGoneError


@dataclass
class Error(Action):
    """An error answer: before the body is read (the connection then closes), after it, or after the call was done."""

    kind = "error"
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    code: str = "SlowDown"
    message: str = "Please reduce your request rate."
    headers: dict[str, str] = field(default_factory=dict)
    when: When = "after_body"

    def _refusal(self) -> Refusal:
        return Refusal(self.status, self.code, self.message, headers=self.headers)

    async def before(self, exchange: Exchange) -> None:
        """Answer now, or when the body is in."""
        if self.when == "after_commit":
            return
        if self.when == "after_body":
            await _discard_body(exchange)
        raise self._refusal()

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """The call has taken effect, and an error is all that its caller hears."""
        return exchange.state.refuse(exchange, self._refusal()) if self.when == "after_commit" else answer


@dataclass
class Reset(Action):
    """The connection is reset; after_commit is the lost answer."""

    kind = "reset"
    when: When = "before_body"

    async def before(self, exchange: Exchange) -> None:
        """Reset before, amid or after the body."""
        if self.when == "before_body":
            abort(exchange)
        if self.when == "mid_body":
            await exchange.send_continue()
            await exchange.request.content.readany()
            abort(exchange)
        if self.when == "after_body":
            await _discard_body(exchange)
            abort(exchange)

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Reset instead of the answer."""
        if self.when == "after_commit":
            abort(exchange)
        return answer


@dataclass
class HalfAnswer(Action):
    """The call is done, half of the answer is sent (half the head when there is no body), and the connection ends."""

    kind = "half_answer"

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Cut the head when there is nothing else to cut."""
        if not answer.length or exchange.received.method == "HEAD":
            self._cut_head(exchange, answer)
        return answer

    def _cut_head(self, exchange: Exchange, answer: Answer) -> NoReturn:
        exchange.write_raw(f"HTTP/1.1 {answer.status} OK\r\nx-amz-request-id: {exchange.request_id}\r\nETa".encode())
        self._hang_up(exchange)

    async def between(self, exchange: Exchange) -> None:
        """Cut the body."""
        self._hang_up(exchange)

    @staticmethod
    def _hang_up(exchange: Exchange) -> NoReturn:
        if exchange.request.transport is not None:
            exchange.request.transport.close()
        raise ConnectionGoneError


@dataclass
class Stall(Action):
    """Silence for some seconds: before 100 Continue, with the body unread, before the answer's head, or in its body."""

    kind = "stall"
    seconds: float = 60.0
    where: Literal["continue", "unread", "head", "body"] = "head"

    async def before_body(self, exchange: Exchange) -> None:
        """Don't ask for the body, or ask and don't read it."""
        if self.where == "unread":
            await exchange.send_continue()
        if self.where in {"continue", "unread"}:
            await asyncio.sleep(self.seconds)

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """The call is done and its caller waits."""
        del exchange
        if self.where == "head":
            await asyncio.sleep(self.seconds)
        return answer

    async def between(self, exchange: Exchange) -> None:
        """Half of the body is out."""
        del exchange
        if self.where == "body":
            await asyncio.sleep(self.seconds)


@dataclass
class Delay(Action):
    """The call goes well, later."""

    kind = "delay"
    seconds: float = 1.0

    async def before(self, exchange: Exchange) -> None:
        """Wait."""
        del exchange
        await asyncio.sleep(self.seconds)


@dataclass
class Late(Action):
    """A front end has the whole request and passes it on later, whether or not the caller still waits."""

    kind = "late"
    seconds: float = 60.0

    async def taken(self, exchange: Exchange) -> None:
        """Hold it back."""
        del exchange
        await asyncio.sleep(self.seconds)


@dataclass
class Corrupt(Action):
    """Bits of the body turn: on its way, so that checksums see it, or on the disk, so that none does."""

    kind = "corrupt"
    seen: bool = True

    def store(self, data: bytes) -> tuple[bytes, bytes]:
        """Turn the lowest bit of the piece's first byte."""
        damaged = bytes([data[0] ^ 1]) + data[1:]
        return (damaged if self.seen else data), damaged


@dataclass
class WrongETag(Action):
    """The answer names an ETag that is not the body's."""

    kind = "wrong_etag"
    etag: str = "00000000000000000000000000000000"

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Replace the header."""
        del exchange
        return replace(answer, headers={**answer.headers, "ETag": f'"{self.etag}"'})


@dataclass
class ErrorInside(Action):
    """200 with an error in its body, after white space that kept the connection alive; the call was not done."""

    kind = "error_inside"
    code: str = "InternalError"
    message: str = "We encountered an internal error. Please try again."

    async def before(self, exchange: Exchange) -> None:
        """Take the body, do nothing."""
        await _discard_body(exchange)
        raise _InsideError(self.code, self.message)


class _InsideError(Refusal):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(HTTPStatus.OK, code, message)


def inside_answer(refusal: Refusal, request_id: str) -> Answer | None:
    """The answer of ErrorInside; None for any other refusal."""
    if not isinstance(refusal, _InsideError):
        return None
    inner = element("Code", refusal.code) + element("Message", refusal.message) + element("RequestId", request_id)
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n     \n<Error>{inner}</Error>'.encode()
    return Answer(HTTPStatus.OK, {"Content-Type": "application/xml"}, body, code=refusal.code)


@dataclass
class Close(Action):
    """The answer is good, and the connection closes after it."""

    kind = "close"

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Say Connection: close."""
        del exchange
        return replace(answer, close=True)


_KINDS: dict[str, type[Any]] = {
    action.kind: action
    for action in (Error, Reset, HalfAnswer, Stall, Delay, Late, Corrupt, WrongETag, ErrorInside, Close)
}
CALM = Action()


@dataclass
class Rule:
    """Calls that match go wrong: ``times`` of them (None: all), after the first ``after`` that match, or by chance."""

    action: Action
    operation: str = "*"
    """An API call's name, such as ``PutObject``, or a pattern."""
    key: str | None = None
    """A pattern (fnmatch) of object keys."""
    part: int | None = None
    times: int | None = 1
    after: int = 0
    probability: float | None = None
    seen: int = 0
    hits: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Rule:
        """From ``{"operation": ..., "action": {"kind": ..., ...}}``; raises ValueError."""
        action = dict(values.get("action") or {})
        kind = _KINDS.get(action.pop("kind", ""))
        allowed = {each.name for each in fields(cls)}
        if kind is None or not values.keys() <= allowed or not action.keys() <= {each.name for each in fields(kind)}:
            raise ValueError(f"a rule has an action with a kind of {', '.join(_KINDS)}, and may have {sorted(allowed)}")
        return cls(**{**values, "action": kind(**action)})

    def strikes(self, target: Target) -> bool:
        """Whether this call is one that goes wrong; counts it."""
        if not self._matches(target):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        if self.probability is not None and random.random() >= self.probability:  # noqa: S311 - chance, not a secret
            return False
        self.hits += 1
        return True

    def _matches(self, target: Target) -> bool:
        return (
            fnmatchcase(target.operation, self.operation)
            and (self.key is None or fnmatchcase(target.key, self.key))
            and (self.part is None or target.part == self.part)
        )


class Faults:
    """The script: the first rule that strikes decides."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> Rule:
        """Append a rule; its ``hits`` can be watched."""
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Nothing goes wrong from now on."""
        self.rules.clear()

    def take(self, target: Target) -> Action:
        """What happens to this call."""
        return next((rule.action for rule in self.rules if rule.strikes(target)), CALM)
