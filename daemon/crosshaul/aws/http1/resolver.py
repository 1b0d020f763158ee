"""Name lookups in threads of their own: a name that hangs in the resolver holds up nothing but its own connections.

The C library's resolver blocks for as long as it likes. asyncio asks it in the loop's default executor, where a few
lookups that hang leave no thread for anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

from crosshaul.aws.http1.types import Address, TransportError

_FRESH = 60.0
"""Seconds for which the addresses of a name are kept: S3 moves its names about every few seconds to minutes."""
_PAUSE_SECONDS = 5.0
"""From one lookup to the next where no address works."""
_PAUSE_AFTER_ERROR_SECONDS = 1.0
"""From a lookup that failed to the next, while nothing is known."""
_TRIES = 4
"""Addresses tried for one connection, so that each gets a fair share of the deadline."""

_Question = tuple[Any, ...]


class NameResolver:
    """``loop.getaddrinfo`` with at most one lookup of each name under way, which all who ask for it wait for."""

    def __init__(self) -> None:
        self._asked: dict[_Question, asyncio.Future[Any]] = {}

    async def getaddrinfo(
        self,
        host: Any,  # noqa: ANN401 - socket's own signature
        port: Any,  # noqa: ANN401
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Any:  # noqa: ANN401
        """Return what ``socket.getaddrinfo`` does; the lookup goes on when whoever asked gives up."""
        question = (host, port, family, type, proto, flags)
        answer = self._asked.get(question)
        if answer is None:
            answer = self._asked[question] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: self._answered(question, done))
            name = f"lookup-{host}"
            threading.Thread(target=_look_up, args=(question, answer), name=name, daemon=True).start()
        return await asyncio.shield(answer)

    def _answered(self, question: _Question, answer: asyncio.Future[Any]) -> None:
        del self._asked[question]
        if not answer.cancelled():
            answer.exception()  # or asyncio complains when nobody waits any more


def _look_up(question: _Question, answer: asyncio.Future[Any]) -> None:
    found, failure = None, None
    try:
        found = socket.getaddrinfo(*question)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
        failure = error
    with contextlib.suppress(RuntimeError):  # the loop may be closed by now
        answer.get_loop().call_soon_threadsafe(_tell, answer, found, failure)


def _tell(answer: asyncio.Future[Any], found: object, failure: Exception | None) -> None:
    if answer.done():
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(found)


def resolve_apart() -> None:
    """Let every client of the running loop (ours, aiohttp's, the credential chain's) resolve names by a Resolver."""
    asyncio.get_running_loop().getaddrinfo = NameResolver().getaddrinfo  # type: ignore[method-assign]


class Addresses:
    """The addresses of one name. Each call starts with another; those that failed are left out for a while.

    What is known serves while the name is looked up again, and while lookups fail.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._known: list[Address] = []
        self._failed: set[Address] = set()
        self._turn = 0
        self._due = float("-inf")
        self._asked_at = float("-inf")
        self._lookup: asyncio.Task[None] | None = None
        self._error: TransportError | None = None

    async def next(self) -> list[Address]:
        """Return up to ``_TRIES`` addresses to try in this order. Raises WireError (DNSError)."""
        loop = asyncio.get_running_loop()
        if self._lookup is None and loop.time() >= self._due:
            self._asked_at = loop.time()
            self._lookup = loop.create_task(self._ask())
        if not self._known and self._lookup is not None:
            await asyncio.shield(self._lookup)
        if not self._known:
            message = str(self._error) if self._error is not None else f"{self._host} has no address"
            raise TransportError("DNSError", message) from self._error
        usable = [each for each in self._known if each not in self._failed] or self._known
        first = self._turn % len(usable)
        self._turn += 1
        return [*usable[first:], *usable[:first]][:_TRIES]

    def failed(self, address: Address) -> None:
        """Leave this one out until the name is asked again; that is soon when no other is left."""
        self._failed.add(address)
        if self._failed.issuperset(self._known):
            self._due = min(self._due, self._asked_at + _PAUSE_SECONDS)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._error = TransportError("DNSError", f"the name {self._host} can't be resolved: {error}")
            self._due = loop.time() + (_PAUSE_SECONDS if self._known else _PAUSE_AFTER_ERROR_SECONDS)
        else:
            self._known = list(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))
            self._failed.clear()
            self._due = loop.time() + _FRESH
        finally:
            self._lookup = None
