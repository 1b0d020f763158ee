"""The connection pool over real sockets: connections are kept, shared, bounded, replaced and closed."""

from __future__ import annotations

import asyncio
import socket

import pytest

from crosshaul.aws.http1 import Client, TransportError
from crosshaul.aws.http1.request import SLICE_BYTES
from crosshaul.aws.http1.types import Address
from support.scripted_http import OK, Meter, Peer, client_of, never, polite, says, scripted

PARTIAL = b"HTTP/1.1 2"


def put(client: Client, body: bytes = b"x"):
    return client.send("PUT", "/k", [], body)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


async def one_then(peer: Peer, *after: bytes) -> None:
    """Respond to one request, and send only this to the next."""
    await peer.request()
    await peer.say(OK)
    await peer.request()
    await peer.say(*after)


async def polite_once(peer: Peer) -> None:
    """Respond to one request, and not to the next."""
    await peer.request()
    await peer.say(OK)
    await never()


async def test_a_connection_is_kept_for_the_next_request():
    """Requests one after the other share one connection."""
    async with scripted(polite) as server, client_of(server.port) as client:
        for _ in range(5):
            assert (await put(client)).resent is False
        assert server.accepted == 1
        sock = next(iter(client.pool.connections))._link._sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_the_connection_used_last_is_used_next():
    """The idle connection that was used last is used next, so that a quiet client lets the others expire."""
    used = []

    async def script(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            used.append((head.split()[1], peer.writer.get_extra_info("peername")))
            await asyncio.sleep(0.05 if head.startswith(b"PUT /slow") else 0)
            await peer.say(OK)

    async with scripted(script) as server, client_of(server.port) as client:
        await asyncio.gather(*(client.send("PUT", path, [], b"x") for path in ("/slow", "/fast")))
        await client.send("PUT", "/last", [], b"x")
        assert dict(used)[b"/last"] == dict(used)[b"/slow"] != dict(used)[b"/fast"]


async def test_the_pool_is_bounded_and_fair():
    """At most the allowed connections are open, and waiting callers are served in order."""
    order = []

    async def script(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            order.append(int(head.split()[1][1:]))
            await asyncio.sleep(0.005)
            await peer.say(OK)

    async with scripted(script) as server, client_of(server.port, most=2) as client:
        await asyncio.gather(*(client.send("PUT", f"/{number}", [], b"x") for number in range(12)))
        assert server.most_open == server.accepted == 2
    assert sorted(order[:2]) == [0, 1]
    assert all(abs(place - number) <= 1 for place, number in enumerate(order))


async def test_a_place_is_handed_on_when_its_connection_ends():
    """Waiting callers are served although each response closes its connection."""
    bye = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with scripted(says(bye)) as server, client_of(server.port, most=1) as client:
        answers = await asyncio.gather(*(put(client) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert server.accepted == 5


async def test_a_connection_closed_while_idle_is_noticed():
    """A connection that was closed while idle is not used."""

    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    async with scripted(once) as server, client_of(server.port, most=1) as client:
        for _ in range(3):
            assert (await put(client)).resent is False
            async with asyncio.timeout(60):
                while client.pool.connections:
                    await asyncio.sleep(0.005)
        assert server.accepted == 3


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("size", [1, 8_000_000])
async def test_a_request_that_broke_on_a_kept_connection_is_sent_again(hard, size):
    """A request that breaks on a kept connection is sent again on a new one, and the response says so."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.head()
        if hard:
            peer.reset()

    async with scripted(script, polite) as server, client_of(server.port, most=1) as client:
        await put(client)
        answer = await put(client, body=bytes(size))
        assert (answer.status, answer.resent, server.accepted) == (200, True, 2)


async def test_it_is_sent_again_only_once():
    """If the new connection breaks too, the error is raised as ambiguous."""

    async def mute(peer: Peer) -> None:
        await peer.request()

    async with scripted(one_then, mute) as server, client_of(server.port) as client:
        await put(client)
        with pytest.raises(TransportError) as caught:
            await put(client)
        assert (caught.value.code, caught.value.ambiguous, server.accepted) == ("ConnectionReset", True, 2)


async def test_a_lost_request_stays_ambiguous_when_no_new_connection_comes():
    """If the second connection is refused, the error stays ambiguous because of the first sending."""
    async with scripted(one_then) as server, client_of(server.port) as client:
        await put(client)
        client.pool.connector.addresses._known = [Address(socket.AF_INET, ("127.0.0.1", closed_port()))]
        with pytest.raises(TransportError) as caught:
            await put(client)
        assert (caught.value.code, caught.value.ambiguous) == ("ConnectError", True)
        assert client.pool.places == 0


@pytest.mark.parametrize(("method", "after"), [("POST", []), ("PUT", [PARTIAL])])
async def test_what_may_have_been_acted_upon_is_not_sent_again(method, after):
    """A request is not repeated if its method is not idempotent or its response has begun."""

    async def script(peer: Peer) -> None:
        await one_then(peer, *after)

    async with scripted(script, polite) as server, client_of(server.port) as client:
        await put(client)
        with pytest.raises(TransportError) as caught:
            await client.send(method, "/k", [], b"x")
        assert (caught.value.code, caught.value.ambiguous, server.accepted) == ("ConnectionReset", True, 1)


async def test_an_old_connection_is_not_trusted():
    """A connection that was idle for too long is replaced."""
    async with scripted(polite) as server, client_of(server.port, most=1, max_idle=0.05) as client:
        await put(client)
        await asyncio.sleep(0.1)
        await put(client)
        assert server.accepted == 2


@pytest.mark.parametrize("extra", [OK, b"junk"])
@pytest.mark.parametrize("pause", [0, 0.02])
async def test_bytes_that_nobody_asked_for_end_the_connection(extra, pause):
    """Bytes after a response can't become the response to the next request."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*([OK, extra] if pause else [OK + extra]), pause=pause)
        await peer.gone()

    async with scripted(script, polite) as server, client_of(server.port) as client:
        assert (await put(client)).body == b"ok"
        await asyncio.sleep(0.05)
        await server.until_open(0)
        assert (await put(client)).resent is False
        assert server.accepted == 2


@pytest.mark.parametrize("size", [1, 20_000_000])
async def test_a_cancelled_request_closes_its_connection_and_frees_its_place(size):
    """A request that is cancelled while it sends or waits closes its connection and frees its place."""

    async def script(peer: Peer) -> None:
        peer.pause_reading()
        await asyncio.sleep(0.1)
        peer.resume_reading()
        await peer.gone()

    async with scripted(script, polite) as server, client_of(server.port, most=1) as client:
        task = asyncio.create_task(put(client, body=bytes(size)))
        async with asyncio.timeout(60):
            while not (server.accepted and client.pool.connections):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert all(connection._link.unsent < 1_000_000 for connection in client.pool.connections)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until_open(0)
        assert (await put(client)).status == 200
        assert (client.pool.places, len(client.pool.connections)) == (1, 1)


async def test_a_cancelled_wait_for_the_pace_frees_the_place():
    """A request that is cancelled while it waits for the bandwidth limit frees its place."""
    async with scripted(polite) as server, client_of(server.port, most=1, pace=Meter(0)) as client:
        task = asyncio.create_task(put(client))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert client.pool.places == 0


async def test_a_cancelled_waiter_leaves_the_queue():
    """A place that becomes free at the moment its waiter is cancelled goes to the next one."""
    async with scripted(polite) as server, client_of(server.port, most=1) as client:

        async def put_then_cancel() -> None:
            await put(client)
            assert (len(client.pool.waiters), second.cancel()) == (1, True)

        first = asyncio.create_task(put_then_cancel())
        second, third = (asyncio.create_task(put(client)) for _ in range(2))
        await first
        assert (await third).status == 200
        assert second.cancelled()
        assert (server.most_open, client.pool.places, len(client.pool.waiters)) == (1, 1, 0)


async def test_close_ends_everything():
    """Closing wakes senders and waiting callers, closes kept connections, and refuses later requests."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await never()

    async with scripted(polite_once, script) as server, client_of(server.port, most=2) as client:
        await put(client)
        tasks = [asyncio.create_task(put(client)) for _ in range(4)]
        async with asyncio.timeout(60):
            while (server.open, len(client.pool.waiters)) != (2, 2):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        await client.close()
        results = await asyncio.gather(*tasks, put(client), return_exceptions=True)
        assert [(getattr(result, "code", None), getattr(result, "ambiguous", None)) for result in results] == [
            ("ClientClosed", sent) for sent in (True, True, False, False, False)
        ]
        assert (client.pool.places, len(client.pool.connections), len(client.pool.idle)) == (0, 0, 0)
        await client.close()


async def test_close_during_a_dial_leaves_no_connection():
    """A connection that is ready only after the client was closed is closed at once."""
    async with scripted(polite) as server, client_of(server.port) as client:
        task = asyncio.create_task(put(client))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(TransportError, match="closed"):
            await task
        assert (client.pool.places, len(client.pool.connections)) == (0, 0)


async def test_a_connection_lost_before_its_first_request_leaves_nothing(monkeypatch):
    """If the peer is gone before the request is written, nothing was sent and nothing is kept."""
    async with scripted(polite) as server, client_of(server.port) as client:
        dial = client.pool.connector.connect

        async def dial_and_lose(make):
            connection = await dial(make)
            connection.abort()
            await connection.closed
            return connection

        monkeypatch.setattr(client.pool.connector, "connect", dial_and_lose)
        with pytest.raises(TransportError) as caught:
            await put(client)
        assert (caught.value.code, caught.value.ambiguous) == ("ConnectionReset", False)
        assert (client.pool.places, len(client.pool.connections)) == (0, 0)


async def test_a_body_that_was_answered_before_it_left_is_not_in_the_next_ones_way():
    """The unsent rest of an early-answered body never mixes with the next request."""

    async def refuse(peer: Peer) -> None:
        while True:
            head = await peer.head()
            assert head.startswith(b"PUT /k HTTP/1.1\r\n")
            await asyncio.sleep(0.03)
            await peer.say(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n")
            await asyncio.sleep(0.03)
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            assert not any(await peer.reader.readexactly(length))

    async with scripted(refuse, buffer=4096) as server, client_of(server.port) as client:
        # The last piece of one of these is the first that the system does not accept at once.
        for pieces in range(1, 25):
            assert (await client.send("PUT", "/k", [], bytes(pieces * SLICE_BYTES))).status == 503
        assert server.accepted > 1


async def test_a_close_that_is_cancelled_leaves_nothing_behind():
    """A caller that gives up waiting for the connections to close leaves none of them half closed."""
    async with scripted(polite) as server, client_of(server.port) as client:
        await put(client)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        async with asyncio.timeout(60):
            while client.pool.connections:
                await asyncio.sleep(0.005)
