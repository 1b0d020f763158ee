"""New connections over real sockets: the choice of the address, and errors of names and peers."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from aiohttp.resolver import ThreadedResolver

from crosshaul.aws.http1 import Client, Deadlines, Origin, TransportError, install_resolver
from crosshaul.aws.http1 import resolver as names
from support.scripted_http import Peer, client_of, never, polite, says, scripted


def put(client: Client):
    return client.send("PUT", "/k", [], b"x")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


async def test_nobody_listens():
    """A refused connection is reported as such, and is not ambiguous."""
    async with client_of(closed_port()) as client:
        with pytest.raises(TransportError, match=r"127\.0\.0\.1") as caught:
            await put(client)
        assert (caught.value.code, caught.value.ambiguous, client.pool.places) == ("ConnectError", False, 0)


async def test_a_peer_that_accepts_nothing_has_a_deadline():
    """A full backlog ends with ConnectTimeout."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with client_of(full.getsockname()[1], setup=0.2) as client:
            with pytest.raises(TransportError) as caught:
                await put(client)
        for filler in fillers:
            filler.close()
    assert (caught.value.code, caught.value.ambiguous) == ("ConnectTimeout", False)


def resolving(monkeypatch, *addresses: str) -> list[str]:
    """Make every name have these addresses; return the names that were looked up."""
    asked = []

    async def getaddrinfo(host, port, **_):
        asked.append(host)
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def test_connections_are_spread_over_all_addresses(monkeypatch):
    """Each new connection starts with the next address of the name, which is looked up once."""
    asked = resolving(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    ports = closed_port()
    seen = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("sockname")[0])
        await Peer(reader, writer).request()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(script, "0.0.0.0", ports)
    async with server, client_of(ports, host="spread.test") as client:
        for _ in range(6):
            await put(client)
    assert sorted(seen) == sorted(["127.0.0.1", "127.0.0.2", "127.0.0.3"] * 2)
    assert asked == ["spread.test"]


async def test_a_dead_address_is_passed_over(monkeypatch):
    """If one address refuses, the next one is tried."""
    asked = resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
    async with scripted(polite) as server, client_of(server.port, host="half-dead.test", most=2) as client:
        assert [answer.status for answer in await asyncio.gather(put(client), put(client))] == [200, 200]
    assert asked == ["half-dead.test"]


async def test_an_outage_asks_no_flood_of_names(monkeypatch):
    """However many connections the only address refuses, the name is looked up once per few seconds."""
    asked = resolving(monkeypatch, "127.0.0.1")
    async with client_of(closed_port(), host="dead.test") as client:
        for _ in range(200):
            with pytest.raises(TransportError, match=r"dead\.test") as caught:
                await put(client)
    assert caught.value.code == "ConnectError"
    assert asked == ["dead.test"]


async def test_an_address_that_came_back_is_used_and_others_are_asked_for(monkeypatch):
    """When all addresses failed they are tried again during a new look-up, whose result is then used."""
    monkeypatch.setattr(names, "_PAUSE_SECONDS", 0.0)
    asked = resolving(monkeypatch, "127.0.0.2")
    async with scripted(polite) as server, client_of(server.port, host="moved.test") as client:
        with pytest.raises(TransportError, match=r"127\.0\.0\.2"):
            await put(client)
        resolving(monkeypatch, "127.0.0.1")
        with pytest.raises(TransportError, match=r"127\.0\.0\.2"):
            await put(client)
        assert (await put(client)).status == 200
    assert asked == ["moved.test"]


async def test_a_name_that_nobody_knows(monkeypatch):
    """A name without an address is a DNSError that names it."""
    resolving(monkeypatch)
    async with client_of(80, host="typo.test") as client:
        with pytest.raises(TransportError, match=r"typo\.test") as caught:
            await put(client)
    assert (caught.value.code, caught.value.ambiguous) == ("DNSError", False)


async def test_a_name_server_that_is_silent(monkeypatch):
    """A look-up has a deadline."""
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: never())
    async with client_of(80, host="slow.test", setup=0.1) as client:
        with pytest.raises(TransportError) as caught:
            await put(client)
    assert caught.value.code == "DNSError"


async def test_a_lookup_that_hangs_is_one_for_all_and_continues(monkeypatch):
    """A caller that gives up leaves the one look-up running for later callers."""
    loop, asked = asyncio.get_running_loop(), []
    answer = loop.create_future()

    async def getaddrinfo(host, port, **_):
        asked.append(host)
        await answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with scripted(polite) as server, client_of(server.port, host="slow.test", setup=0.5) as client:
        for _ in range(2):
            late = await asyncio.gather(*(put(client) for _ in range(20)), return_exceptions=True)
            assert {getattr(each, "code", None) for each in late} == {"DNSError"}
        answer.set_result(None)
        assert (await put(client)).status == 200
    assert asked == ["slow.test"]


async def test_stale_addresses_serve_while_the_name_is_looked_up_again(monkeypatch):
    """A look-up that hangs or fails does not stop new connections to a known name."""
    monkeypatch.setattr(names, "_FRESH_SECONDS", 0.0)
    resolving(monkeypatch, "127.0.0.1")
    bye = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with scripted(says(bye)) as server, client_of(server.port, host="stale.test") as client:
        assert (await put(client)).status == 200
        asked = resolving(monkeypatch)
        assert (await put(client)).status == 200
        assert (await put(client)).status == 200
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: never())
        client.pool.connector.addresses._due = 0.0
        for _ in range(3):
            assert (await put(client)).status == 200
    assert asked == ["stale.test"]


async def test_an_unknown_name_is_not_asked_for_by_each_file(monkeypatch):
    """An unresolvable name is looked up once a second, however many callers need it."""
    asked = resolving(monkeypatch)
    async with client_of(80, host="typo.test") as client:
        for _ in range(100):
            with pytest.raises(TransportError, match=r"typo\.test") as caught:
                await put(client)
    assert (caught.value.code, asked) == ("DNSError", ["typo.test"])


async def test_names_that_hang_leave_the_others_their_turn(monkeypatch):
    """Fifty hanging names with ten callers each delay no other name and use no further threads."""
    gate, asked = threading.Event(), []

    def getaddrinfo(host, *_):
        asked.append(host)
        if host.startswith("hangs"):
            gate.wait(120)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    install_resolver()
    resolver = ThreadedResolver()
    hung = [asyncio.ensure_future(resolver.resolve(f"hangs-{number % 50}", 1)) for number in range(500)]
    try:
        async with asyncio.timeout(60):
            assert (await resolver.resolve("works", 1))[0]["host"] == "127.0.0.1"
            assert await asyncio.to_thread(len, "abc") == 3
        for each in hung[:250]:
            each.cancel()
    finally:
        gate.set()
    assert len(await asyncio.gather(*hung[250:])) == 250
    assert len(asked) == 51


async def test_tls_goes_with_https_only():
    """A client that would send https without TLS can't be created."""
    with pytest.raises(ValueError, match="TLS"):
        Client(Origin("https", "h", 443), tls=None, max_connections=1, deadlines=Deadlines(), proxy=None)
