"""Name lookups in a thread each: a lookup that hangs delays only connections to its own host.

The C library's resolver blocks without limit. asyncio calls it in the loop's default executor, where a few hanging
lookups would take every thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

from crosshaul.aws.http1.types import Address, TransportError

_FRESH_SECONDS = 60.0
"""Age up to which known addresses are used: S3 changes the addresses of its names every few seconds to minutes."""
_PAUSE_SECONDS = 5.0
"""Between lookups while no address works."""
_PAUSE_AFTER_ERROR_SECONDS = 1.0
"""Between failed lookups while no address is known."""
_MAX_ADDRESSES = 4
"""Addresses tried for one connection, so that each gets a fair share of the deadline."""

_Query = tuple[Any, ...]


class NameResolver:
    """``loop.getaddrinfo`` with one lookup per name at a time, shared by all callers."""

    def __init__(self) -> None:
        self._lookups: dict[_Query, asyncio.Future[Any]] = {}

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
        """Return the result of ``socket.getaddrinfo``; a cancelled caller does not cancel the lookup."""
        query = (host, port, family, type, proto, flags)
        lookup = self._lookups.get(query)
        if lookup is None:
            lookup = self._lookups[query] = asyncio.get_running_loop().create_future()
            lookup.add_done_callback(lambda done: self._on_done(query, done))
            name = f"lookup-{host}"
            threading.Thread(target=_run_lookup, args=(query, lookup), name=name, daemon=True).start()
        return await asyncio.shield(lookup)

    def _on_done(self, query: _Query, lookup: asyncio.Future[Any]) -> None:
        del self._lookups[query]
        if not lookup.cancelled():
            lookup.exception()  # or asyncio logs it as never retrieved when no caller is left


def _run_lookup(query: _Query, lookup: asyncio.Future[Any]) -> None:
    addresses, failure = None, None
    try:
        addresses = socket.getaddrinfo(*query)
    except Exception as error:  # noqa: BLE001 - passed to the callers
        failure = error
    with contextlib.suppress(RuntimeError):  # the loop may be closed by now
        lookup.get_loop().call_soon_threadsafe(_set_result, lookup, addresses, failure)


def _set_result(lookup: asyncio.Future[Any], addresses: object, failure: Exception | None) -> None:
    if lookup.done():
        return
    if failure is not None:
        lookup.set_exception(failure)
    else:
        lookup.set_result(addresses)


def install_resolver() -> None:
    """Make every client of the running loop (ours and the SDK's) resolve names by a NameResolver."""
    asyncio.get_running_loop().getaddrinfo = NameResolver().getaddrinfo  # type: ignore[method-assign]


class HostAddresses:
    """Addresses of one host, in rotation; failed ones are skipped for a while.

    Known addresses are used while a lookup runs, and while lookups fail.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._known: list[Address] = []
        self._failed: set[Address] = set()
        self._turn = 0
        self._due = float("-inf")
        self._requested_at = float("-inf")
        self._lookup: asyncio.Task[None] | None = None
        self._error: TransportError | None = None

    async def next(self) -> list[Address]:
        """Return up to ``_MAX_ADDRESSES`` addresses in the order to try. Raises TransportError (DNSError)."""
        loop = asyncio.get_running_loop()
        if self._lookup is None and loop.time() >= self._due:
            self._requested_at = loop.time()
            self._lookup = loop.create_task(self._look_up())
        if not self._known and self._lookup is not None:
            await asyncio.shield(self._lookup)
        if not self._known:
            message = str(self._error) if self._error is not None else f"{self._host} has no address"
            raise TransportError("DNSError", message) from self._error
        usable = [address for address in self._known if address not in self._failed] or self._known
        first = self._turn % len(usable)
        self._turn += 1
        return [*usable[first:], *usable[:first]][:_MAX_ADDRESSES]

    def failed(self, address: Address) -> None:
        """Skip ``address`` until the next lookup, which is soon when no other address is left."""
        self._failed.add(address)
        if self._failed.issuperset(self._known):
            self._due = min(self._due, self._requested_at + _PAUSE_SECONDS)

    async def _look_up(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._error = TransportError("DNSError", f"can't resolve {self._host}: {error}")
            self._due = loop.time() + (_PAUSE_SECONDS if self._known else _PAUSE_AFTER_ERROR_SECONDS)
        else:
            self._known = list(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in addresses))
            self._failed.clear()
            self._due = loop.time() + _FRESH_SECONDS
        finally:
            self._lookup = None
