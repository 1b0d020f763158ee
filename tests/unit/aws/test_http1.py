"""One request and its response over real sockets: what is sent, what is parsed, and when it is given up."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time

import pytest

from crosshaul.aws.http1 import Deadlines, Origin, Response, TransportError
from crosshaul.aws.http1.link import Link
from support.scripted_http import OK, Meter, Peer, client_of, never, polite, says, scripted

BIG = bytes(range(256)) * 65_536  # 16 MiB: more than the kernel takes for a peer that does not read
HEAD = b"HTTP/1.1 200 OK\r\n"


async def answer_of(*pieces: bytes, pause: float = 0, method: str = "PUT", **limits) -> Response:
    async with scripted(says(*pieces, pause=pause)) as server, client_of(server.port, **limits) as client:
        return await client.send(method, "/k", [], b"x")


async def refusal_of(*pieces: bytes, pause: float = 0, **limits) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await answer_of(*pieces, pause=pause, **limits)
    assert caught.value.ambiguous
    return caught.value


async def failure_of(script, body: bytes = b"x", **limits) -> TransportError:
    async with scripted(script) as server, client_of(server.port, **limits) as client:
        with pytest.raises(TransportError) as caught:
            await client.send("PUT", "/k", [], body)
        assert server.accepted == 1
        return caught.value


@pytest.mark.parametrize("body", [b"", b"abc", bytearray(b"abc"), memoryview(b"abc"), BIG, memoryview(bytearray(BIG))])
@pytest.mark.parametrize("paced", [False, True])
async def test_a_body_of_any_kind_arrives_whole(body, paced):
    """A body of any type and size arrives complete, with its length and our headers."""
    seen = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    meter = Meter()
    async with scripted(script) as server, client_of(server.port, pace=meter if paced else None) as client:
        answer = await client.send("PUT", "/b/k?x=1", [("x-a", "ä")], body)
    head, arrived = seen[0]
    assert (answer.status, answer.body, answer.headers) == (200, b"ok", {"content-length": "2"})
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(body).digest()
    assert head.startswith(b"PUT /b/k?x=1 HTTP/1.1\r\n")
    assert f"\r\nhost: 127.0.0.1:{server.port}\r\n".encode() in head
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head
    assert "\r\nx-a: ä\r\n".encode() in head
    assert not paced or sum(meter.asked) == len(head) + len(body)


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([HEAD + b"content-length: 3\r\n\r\nabc"], 200, b"abc"),
        ([b"HTTP", b"/1.1 404 No\r", b"\ncontent-le", b"ngth: 3\r\n\r", b"\na", b"bc"], 404, b"abc"),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n", b"2\r\nbc\r\n0\r\nx-t: 1\r\n\r\n"], 200, b"abc"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n", OK], 200, b"ok"),
    ],
)
async def test_an_answer_of_any_form_is_understood(pieces, status, body):
    """Counted, chunked, empty and interim responses, in one or many pieces, give status, headers and body."""
    answer = await answer_of(*pieces, pause=0.01)
    assert (answer.status, answer.body) == (status, body)
    assert "link" not in answer.headers
    assert "x-t" not in answer.headers


async def test_an_answer_may_last_as_long_as_its_connection():
    """Without a length the end of the connection ends the response."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD + b"\r\nabc", b"def")

    async with scripted(script) as server, client_of(server.port) as client:
        assert (await client.send("PUT", "/k", [], b"x")).body == b"abcdef"


async def test_head_has_no_body_whatever_its_headers_say():
    """A response to HEAD ends with its head, and its connection is kept."""

    async def script(peer: Peer) -> None:
        for answer in (HEAD + b"content-length: 9\r\n\r\n", OK):
            await peer.request()
            await peer.say(answer)

    async with scripted(script) as server, client_of(server.port) as client:
        answer = await client.send("HEAD", "/k", [], b"")
        assert (answer.headers["content-length"], answer.body) == ("9", b"")
        assert (await client.send("GET", "/k", [], b"")).body == b"ok"
        assert server.accepted == 1


@pytest.mark.alone
async def test_an_answer_that_waits_for_a_late_loop_is_in_time_and_its_connection_is_kept():
    """After a blocked loop a received response is processed before its deadline is checked."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.4)  # the request has been received by now, for the client
        peer.writer.write(OK)
        late = time.monotonic() + 1.0
        while time.monotonic() < late:
            pass
        await peer.request()
        await peer.say(OK)

    async with scripted(script) as server, client_of(server.port, response=1.0) as client:
        for _ in range(2):
            assert (await client.send("GET", "/k", [], b"")).body == b"ok"
        assert server.accepted == 1


async def test_repeated_headers_are_joined():
    """Header names are returned in lower case, and repeated ones as one value."""
    answer = await answer_of(HEAD + b"X-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n")
    assert answer.headers["x-a"] == "1, 2"


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([b"SSH-2.0-OpenSSH\r\n"], "ProtocolError"),
        ([HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n"], "ProtocolError"),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"], "ProtocolError"),
        ([b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], "ProtocolError"),
        ([HEAD + b"x: " + b"y" * 5000 + b"\r\n\r\n"], "ResponseTooLarge"),
        ([HEAD + b"x: ", *[b"y" * 1000] * 5], "ResponseTooLarge"),
        ([b"HTTP/1.1 100 C\r\n\r\n" * 300], "ResponseTooLarge"),
        ([HEAD + b"content-length: 5000\r\n\r\n" + b"y" * 5000], "ResponseTooLarge"),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n", *[b"3e8\r\n" + b"y" * 1000 + b"\r\n"] * 5], "ResponseTooLarge"),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nx: ", *[b"y" * 1000] * 15], "ResponseTooLarge"),
    ],
)
async def test_garbage_and_endless_answers_are_refused(pieces, code):
    """A response that is not HTTP, or exceeds the limits of head and body, is an error that says so."""
    error = await refusal_of(*pieces, max_head=4096, max_body=4096)
    assert error.code == code


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1."], [HEAD + b"content-le"], [HEAD + b"content-length: 9\r\n\r\nabc"]])
@pytest.mark.parametrize("hard", [False, True])
async def test_half_an_answer_is_none(pieces, hard):
    """A connection that ends or is reset before the response is complete fails, and the outcome is ambiguous."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*pieces)
        if hard:
            peer.reset()

    error = await failure_of(script)
    assert (error.code, error.ambiguous) == ("ConnectionReset", True)


@pytest.mark.alone
@pytest.mark.parametrize("pieces", [[], [b"HTTP/1."], [HEAD + b"content-length: 9\r\n\r\nabc"]])
async def test_a_peer_that_falls_silent_is_given_up(pieces):
    """Without a complete response within the deadline the request fails, whether none or half of it came."""
    start = time.monotonic()
    error = await refusal_of(*pieces, progress=0.1, response=0.2)
    assert error.code == "ResponseTimeout"
    assert 0.2 <= time.monotonic() - start < 1.0


@pytest.mark.alone
async def test_a_peer_that_stops_reading_is_given_up():
    """A peer that stops reading a large body is detected by the progress deadline."""

    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(100_000)
        peer.pause_reading()
        await never()

    start = time.monotonic()
    error = await failure_of(script, BIG, progress=0.2)
    assert (error.code, error.ambiguous) == ("ProgressTimeout", True)
    assert time.monotonic() - start < 1


async def test_a_slow_answer_is_not_a_silent_one():
    """A response whose bytes keep coming outlives the progress deadline."""
    answer = await answer_of(HEAD + b"content-length: 8\r\n\r\n", *[b"x"] * 8, pause=0.08, progress=0.2)
    assert answer.body == b"x" * 8


@pytest.mark.alone
async def test_a_slow_reader_is_not_a_silent_one():
    """A peer that reads less than one write at a time is waited for."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for _ in range(10):
            await peer.reader.readexactly(16_384)
            await asyncio.sleep(0.15)
        await peer.reader.readexactly(2_000_000 - 163_840)
        await peer.say(OK)

    async with scripted(script, buffer=8192) as server, client_of(server.port, progress=0.6) as client:
        assert (await client.send("PUT", "/k", [], bytes(2_000_000))).status == 200


@pytest.mark.alone
async def test_an_answer_that_trickles_has_its_deadline():
    """A peer that sends "100 Continue" for ever is ended by the response deadline."""
    start = time.monotonic()
    error = await failure_of(says(*[b"HTTP/1.1 100 C\r\n\r\n"] * 50, pause=0.02), progress=0.1, response=0.2)
    assert (error.code, error.ambiguous) == ("ResponseTimeout", True)
    assert 0.2 <= time.monotonic() - start < 1.0


@pytest.mark.alone
async def test_a_late_answer_is_waited_for_longer_than_a_body_may_stand_still():
    """A response that comes long after the body is accepted, with the time that it took."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.8)
        await peer.say(OK)

    async with scripted(script) as server, client_of(server.port, progress=0.3) as client:
        answer = await client.send("PUT", "/k", [], bytes(300_000))
    assert answer.status == 200
    assert 0.5 < answer.wait_seconds < 1.3


@pytest.mark.alone
async def test_a_body_that_moves_has_no_deadline():
    """A slow body arrives even if it takes fifty times the progress deadline and longer than any response may."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for _ in range(50):
            await peer.reader.readexactly(40_000)
            await asyncio.sleep(0.05)
        await peer.say(OK)

    async with scripted(script, buffer=8192) as server, client_of(server.port, progress=0.3, response=0.3) as client:
        assert (await client.send("PUT", "/k", [], bytes(2_000_000))).status == 200


@pytest.mark.parametrize(
    ("bytes_a_second", "others", "given_up"), [(400, False, True), (20_000, False, False), (20_000, True, True)]
)
async def test_a_body_that_trickles_is_given_up(monkeypatch, bytes_a_second, others, given_up):
    """A trickling body is given up, and a slow one only while other connections get responses."""

    async def script(peer: Peer) -> None:
        head = await peer.head()
        while b"/slow" not in head:
            await peer.say(OK)
            head = await peer.head()
        peer.pause_reading()
        await never()

    loop = asyncio.get_running_loop()
    # The kernel acknowledges in steps that are too large for a test; so the count is simulated.
    monkeypatch.setattr(Link, "transferred", lambda _: int(loop.time() * bytes_a_second))
    async with scripted(script, buffer=4096) as server, client_of(server.port, progress=0.2, trickle=0.3) as client:
        body = asyncio.create_task(client.send("PUT", "/slow", [], BIG))
        for _ in range(20):
            await asyncio.sleep(0.05)
            if others and not body.done():
                await client.send("PUT", "/k", [], b"")
        assert body.done() is given_up
        if given_up:
            with pytest.raises(TransportError, match="bytes moved") as caught:
                await body
            assert caught.value.code == "ProgressTimeout"
        body.cancel()


@pytest.mark.parametrize("allowed", [None, 200_000])
async def test_an_early_answer_ends_the_sending(allowed):
    """An error that arrives before the end of the body is returned at once, even by a paced sender."""
    taken = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\n", b"nope", pause=0.02)
        taken.append(len(await peer.reader.read()))

    pace = None if allowed is None else Meter(allowed)
    async with scripted(script) as server, client_of(server.port, pace=pace) as client:
        answer = await client.send("PUT", "/k", [], BIG * 4)
        assert (answer.status, answer.body) == (403, b"nope")
        await server.until_open(0)
    assert taken[0] < len(BIG * 4)


async def test_an_early_answer_is_noticed_between_writes_that_never_block():
    """After an early refusal the rest of a body is not written, even if the kernel would accept it at once."""
    taken = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.head()
        await peer.say(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        taken.append(len(await peer.reader.read()))

    async with scripted(script) as server, client_of(server.port) as client:
        await client.send("PUT", "/k", [], b"x")
        assert (await client.send("PUT", "/k", [], bytes(1_500_000))).status == 403
        await server.until_open(0)
    assert taken[0] < 1_500_000


async def test_a_peer_that_hangs_up_without_reading_is_noticed_at_once():
    """The end of the peer's stream fails the request even while our bytes wait to be sent."""

    async def script(peer: Peer) -> None:
        peer.pause_reading()
        await asyncio.sleep(0.05)
        peer.writer.write_eof()
        await never()

    start = time.monotonic()
    error = await failure_of(script, BIG)
    assert (error.code, error.ambiguous) == ("ConnectionReset", True)
    assert time.monotonic() - start < 30


async def test_a_shorter_deadline_counts_on_a_kept_connection():
    """On a kept connection the next request's shorter deadline is in force."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await never()

    async with scripted(script) as server, client_of(server.port) as client:
        await client.send("PUT", "/k", [], b"x")
        start = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await client.send("PUT", "/k", [], b"x", deadlines=Deadlines(response=0.1))
    assert caught.value.code == "ResponseTimeout"
    assert time.monotonic() - start < 10


async def test_an_early_answer_survives_the_reset_behind_it():
    """The response of a server that refuses a body and resets the connection is returned."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 400 Bad\r\nconnection: close\r\ncontent-length: 4\r\n\r\nnope")

    async with scripted(script) as server, client_of(server.port) as client:
        for _ in range(20):
            assert (await client.send("PUT", "/k", [], BIG)).status == 400


async def test_the_wait_for_the_pace_is_no_silence():
    """A wait for the bandwidth limit that is longer than the progress deadline does not end the request."""

    class Slow(Meter):
        async def turn(self, size: int) -> None:
            await asyncio.sleep(0.9)

    async with scripted(polite) as server, client_of(server.port, progress=0.3, pace=Slow(most=100)) as client:
        assert (await client.send("PUT", "/k", [], bytes(150))).status == 200


async def test_a_paced_request_goes_in_small_pieces():
    """No write of a paced request is larger than a turn, and together they are the request."""
    meter = Meter(most=700)
    async with scripted(polite) as server, client_of(server.port, pace=meter) as client:
        for size in (0, 10, 5_000, 100_000):
            assert (await client.send("PUT", "/k", [], bytes(size))).status == 200
    assert sum(meter.asked) > 105_010
    assert max(meter.asked) == 700
    assert not meter.given_back


async def test_the_first_turn_comes_before_the_connection():
    """A request waits for its first turn before it connects, because servers close silent connections."""
    meter = Meter(0)
    async with scripted(polite) as server, client_of(server.port, pace=meter) as client:
        sending = asyncio.create_task(client.send("PUT", "/k", [], b"x"))
        await asyncio.sleep(0.05)
        assert (server.accepted, len(meter.asked)) == (0, 1)
        sending.cancel()
        await asyncio.wait([sending])


async def test_turns_that_are_not_used_go_back():
    """Granted bytes are given back if there is no connection or an early response."""
    meter = Meter()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    async with client_of(port, pace=meter) as client:
        with pytest.raises(TransportError):
            await client.send("PUT", "/k", [], b"x")
    assert meter.given_back == meter.asked

    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        await peer.gone()

    class Late(Meter):
        async def turn(self, size: int) -> None:
            await super().turn(size)
            await asyncio.sleep(0 if len(self.asked) < 5 else 0.1)

    meter = Late()
    async with scripted(refuse) as server, client_of(server.port, pace=meter) as client:
        assert (await client.send("PUT", "/k", [], BIG)).status == 403
    assert sum(meter.asked) - sum(meter.given_back) < len(BIG)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/k", [("x", "a\r\nevil: 1")]),
        ("/k", [("x\n", "a")]),
        ("/k", [("x", "a\rb")]),
        ("/k", [("x", "a\0")]),
        ("/k HTTP/1.1\r\nx: y", []),
        ("/a b", []),
        ("/k", [("content-length", "9")]),
        ("/k", [("transfer-encoding", "chunked")]),
        ("/k", [("x-a", "1"), ("Content-Length", "1")]),
    ],
)
async def test_a_header_can_not_break_out_of_its_line(target, headers):
    """Line breaks, NUL characters and wrong lengths are refused before anything is sent, without the value."""
    async with scripted(polite) as server, client_of(server.port) as client:
        with pytest.raises(ValueError, match=r"^(?!.*evil)"):
            await client.send("PUT", target, headers, b"x")
        assert server.accepted == 0


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("https://b.s3.amazonaws.com", Origin("https", "b.s3.amazonaws.com", 443), "b.s3.amazonaws.com"),
        ("http://minio:9000/x", Origin("http", "minio", 9000), "minio:9000"),
        ("http://[::1]:80", Origin("http", "::1", 80), "[::1]"),
    ],
)
def test_an_origin_comes_from_a_url(url, origin, authority):
    """The Host header leaves out the scheme's own port and brackets IPv6."""
    assert Origin.of(url) == origin
    assert origin.authority == authority


@pytest.mark.parametrize("url", ["ftp://x", "https://", "bucket"])
def test_other_urls_have_no_origin(url):
    """Only http and https URLs with a host have an origin."""
    with pytest.raises(ValueError, match="http"):
        Origin.of(url)
