"""TLS with our own certificate authority, and proxies, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import ipaddress
import itertools
import os
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crosshaul.aws.http1 import Origin, Proxy, Response, TransportError, proxy_for, tls_context
from crosshaul.errors import ConfigError
from support.scripted_http import OK, Peer, client_of, never, polite, scripted

BIG = bytes(range(256)) * 32_768


def certificate(path: Path, subject: str, issuer=None, *, address: str | None = None):
    """Write certificate and key to ``path``; signed by ``issuer``, or a CA that signs itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateBuilder(
        issuer[0] if issuer else name, name, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    if address is not None:
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(alternative, critical=False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return name, key


def server_context(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes in one direction."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def pki(tmp_path_factory) -> Path:
    """Return a directory: ca.pem signed good.pem (for 127.0.0.1) and wrong.pem (for 127.0.0.9); other.pem is alone."""
    directory = tmp_path_factory.mktemp("pki")
    authority = certificate(directory / "ca.pem", "our CA")
    certificate(directory / "good.pem", "good", authority, address="127.0.0.1")
    certificate(directory / "wrong.pem", "wrong", authority, address="127.0.0.9")
    certificate(directory / "other.pem", "other CA")
    return directory


async def failure_at(port: int, trusted: Path, proxy: Proxy | None = None, **limits) -> TransportError:
    async with client_of(port, tls=tls_context(trusted), proxy=proxy, **limits) as client:
        with pytest.raises(TransportError) as caught:
            await client.send("PUT", "/k", [], b"x")
        assert client.pool.places == 0
    assert not caught.value.ambiguous
    return caught.value


async def test_bodies_go_over_tls(pki):
    """With our own CA bundle, large and small bodies arrive over kept TLS connections."""
    seen = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(hashlib.sha256((await peer.request())[1]).digest())
            await peer.say(OK)

    async with scripted(script, tls=server_context(pki / "good.pem")) as server:
        async with client_of(server.port, tls=tls_context(pki / "ca.pem")) as client:
            for body in (b"small", BIG, memoryview(BIG)):
                assert (await client.send("PUT", "/k", [], body)).body == b"ok"
        assert server.accepted == 1
    assert seen == [hashlib.sha256(body).digest() for body in (b"small", BIG, BIG)]


async def asked(port: int, pki: Path) -> Response:
    """Return the response to a GET over TLS."""
    async with client_of(port, tls=tls_context(pki / "ca.pem")) as client:
        return await client.send("GET", "/k", [], b"")


async def test_an_answer_of_many_records_arrives_whole(pki):
    """Bytes that TLS has read ahead, for which the socket has no event, are part of the response."""
    body = BIG[:700_000]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await peer.gone()

    async with scripted(script, tls=server_context(pki / "good.pem")) as server:
        answer = await asked(server.port, pki)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("output", [True, False])
async def test_only_an_end_that_tls_was_reported_ends_an_answer(pki, output):
    """A cut connection can't truncate a response that ends with its connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        if not output:
            peer.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await peer.gone()

    async with scripted(script, tls=server_context(pki / "good.pem")) as server:
        if output:
            assert (await asked(server.port, pki)).body == b"half"
        else:
            with pytest.raises(TransportError) as caught:
                await asked(server.port, pki)
            assert caught.value.code == "ConnectionReset"


@pytest.mark.alone
async def test_a_slow_line_under_tls_is_waited_for(pki):
    """Over TLS any byte that the network accepts counts as progress, even less than one write."""

    async def narrow(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, peer.writer))
                for _ in range(12):
                    writer.write(await peer.reader.read(8192))
                    await asyncio.sleep(0.12)
                await pump(peer.reader, writer)
        finally:
            writer.transport.abort()

    async with (
        scripted(polite, tls=server_context(pki / "good.pem")) as server,
        scripted(narrow, buffer=8192) as line,
        client_of(line.port, tls=tls_context(pki / "ca.pem"), progress=0.6) as client,
    ):
        assert (await client.send("PUT", "/k", [], BIG)).status == 200


async def test_a_peer_that_stops_reading_over_tls_is_given_up(pki):
    """The progress deadline applies over TLS too."""

    async def script(peer: Peer) -> None:
        peer.pause_reading()
        await never()

    async with (
        scripted(script, tls=server_context(pki / "good.pem")) as server,
        client_of(server.port, tls=tls_context(pki / "ca.pem"), progress=0.2) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.send("PUT", "/k", [], BIG * 2)
    assert (caught.value.code, caught.value.ambiguous) == ("ProgressTimeout", True)


@pytest.mark.parametrize(
    ("shown", "trusted", "why"),
    [
        ("wrong.pem", "ca.pem", "IP address mismatch"),
        ("good.pem", "other.pem", "unable to get local issuer certificate"),
        ("other.pem", "ca.pem", "self-signed certificate"),
    ],
)
async def test_a_certificate_that_does_not_hold_is_refused(pki, shown, trusted, why):
    """Another host's certificate or an untrusted authority's fails before a byte of the request is sent."""
    async with scripted(polite, tls=server_context(pki / shown)) as server:
        error = await failure_at(server.port, pki / trusted)
    assert error.code == "TLSError"
    assert why in str(error)


async def test_a_peer_without_tls_is_said_to_be_one(pki):
    """A server without TLS gives a TLSError."""

    async def script(peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with scripted(script) as server:
        assert (await failure_at(server.port, pki / "ca.pem")).code == "TLSError"


async def test_a_silent_handshake_has_a_deadline(pki):
    """A peer that accepts and stays silent ends with TLSTimeout."""
    async with scripted(Peer.gone) as server:
        assert (await failure_at(server.port, pki / "ca.pem", setup=0.5)).code == "TLSTimeout"
        await server.until_open(0)


async def test_a_handshake_that_is_cut_off_is_no_fault_of_the_certificate(pki):
    """A connection that closes during the handshake is a network fault, which is retried."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)

    async with scripted(script) as server:
        assert (await failure_at(server.port, pki / "ca.pem")).code == "ConnectionReset"


def test_the_bundle_may_come_from_the_environment(pki, monkeypatch):
    """Without a configured bundle AWS_CA_BUNDLE is used, with TLS 1.2 or later and all checks."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pki / "other.pem"))
    assert [x["subject"] for x in tls_context(None).get_ca_certs()] == [((("commonName", "other CA"),),)]
    context = tls_context(pki / "ca.pem")
    assert [x["subject"] for x in context.get_ca_certs()] == [((("commonName", "our CA"),),)]
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED)
    assert context.check_hostname


async def test_a_context_that_does_not_check_is_never_used(pki):
    """A context without checks is refused before a byte of the request, even if it was changed later."""
    unnamed = ssl.create_default_context(cafile=pki / "ca.pem")
    unnamed.check_hostname = False
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    async with scripted(polite, tls=server_context(pki / "good.pem")) as server:
        for context in (unnamed, unchecked):
            async with client_of(server.port, tls=context) as client:
                with pytest.raises(TransportError, match="does not check certificates"):
                    await client.send("PUT", "/k", [], b"x")


def test_contexts_are_made_once_and_again_when_a_file_changes(pki, tmp_path, monkeypatch):
    """A context is created once, and again after its bundle was replaced."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes((pki / "ca.pem").read_bytes())
    first = tls_context(bundle)
    assert tls_context(bundle) is first
    assert tls_context(besides=bundle) is not first
    bundle.write_bytes((pki / "other.pem").read_bytes() + b"\n")
    assert [x["subject"] for x in tls_context(bundle).get_ca_certs()] == [((("commonName", "other CA"),),)]


def test_an_empty_variable_is_an_unset_one(pki, monkeypatch):
    """Each empty variable for authorities counts as unset, and the checks stay."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SSL_CERT_FILE", str(pki / "ca.pem"))
    names = [x["subject"] for x in tls_context().get_ca_certs()]
    assert ((("commonName", "our CA"),),) in names
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert tls_context().verify_mode is ssl.CERT_REQUIRED
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki / "other.pem"))
    assert ((("commonName", "other CA"),),) in [x["subject"] for x in tls_context().get_ca_certs()]


def test_a_bundle_that_can_not_be_used_is_a_fault_of_the_configuration(tmp_path):
    """A bundle that is missing or has no certificate is reported with its path."""
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ConfigError, match=name):
            tls_context(tmp_path / name)


def tunnel(seen: list[bytes]):
    """Be a proxy: connect to the address in CONNECT, and copy bytes both ways."""

    async def script(peer: Peer) -> None:
        head = await peer.head()
        seen.append(head)
        host, port = head.split()[1].split(b":")
        reader, writer = await asyncio.open_connection(host.decode(), int(port))
        try:
            await peer.say(b"HTTP/1.1 200 Connection established\r\nvia: us\r\n\r\n")
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer), return_exceptions=True)
        finally:
            writer.transport.abort()

    return script


async def test_https_goes_through_a_tunnel(pki):
    """CONNECT has the bucket's host and the proxy's password; the request is end-to-end."""
    seen: list[bytes] = []
    async with scripted(polite, tls=server_context(pki / "good.pem")) as server, scripted(tunnel(seen)) as middle:
        proxy = Proxy("127.0.0.1", middle.port, "Basic dTpw")
        async with client_of(server.port, tls=tls_context(pki / "ca.pem"), proxy=proxy) as client:
            for body in (b"small", BIG):
                assert (await client.send("PUT", "/k", [], body)).body == b"ok"
        assert (middle.accepted, server.accepted) == (1, 1)
    target = f"127.0.0.1:{server.port}".encode()
    assert seen[0].startswith(b"CONNECT " + target + b" HTTP/1.1\r\nhost: " + target + b"\r\n")
    assert b"\r\nproxy-authorization: Basic dTpw\r\n" in seen[0]


async def test_the_host_name_is_checked_through_a_tunnel(pki):
    """A proxy can't present its own certificate for the bucket."""
    async with scripted(polite, tls=server_context(pki / "wrong.pem")) as server, scripted(tunnel([])) as middle:
        error = await failure_at(server.port, pki / "ca.pem", Proxy("127.0.0.1", middle.port))
    assert error.code == "TLSError"


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], "407 Proxy Authentication Required"),
        ([b"HTTP/1.1 407 Who?\r\nconnection: keep-alive\r\ncontent-length: 20\r\n\r\n<html>who?"], "USER:PASSWORD"),
        ([b"HTTP/1.1 403 Forbidden\r\n", b"content-length: 9000\r\n\r\n", b"x" * 9000], "403 Forbidden"),
        ([b"HTTP/1.0 403 Forbidden\n\nno"], "NO_PROXY"),
        ([b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>"], "can't reach the host"),
        ([b"HTTP/1.1 503 Broken off\r\nx: " + b"x" * 20_000], "503 Broken off"),
        ([b"220 smtp ready\r\n\r\n"], "in HTTP"),
        ([b"x" * 20_000], "in HTTP"),
        ([b"HTTP/1.1 200 OK\r\n\r\nand more"], "in HTTP"),
    ],
)
async def test_a_proxy_that_refuses_is_named(pki, pieces, why):
    """A proxy's refusal is reported with its name and without its password."""

    async def script(peer: Peer) -> None:
        await peer.head()
        with contextlib.suppress(ConnectionError):  # the peer hangs up early
            await peer.say(*pieces)
        await peer.gone()

    async with asyncio.timeout(30), scripted(script) as middle:  # the deadlines are a minute
        error = await failure_at(443, pki / "ca.pem", Proxy("127.0.0.1", middle.port, "Basic c2VjcmV0"))
    assert error.code == "ProxyError"
    assert why in str(error)
    assert f"127.0.0.1:{middle.port}" in str(error)
    assert "c2VjcmV0" not in str(error)


async def test_a_proxy_that_hangs_up_is_named(pki):
    """A proxy that closes without a response is reported at once."""

    async def script(peer: Peer) -> None:
        await peer.head()

    async with asyncio.timeout(30), scripted(script) as middle:
        error = await failure_at(443, pki / "ca.pem", Proxy("127.0.0.1", middle.port))
    assert error.code == "ProxyError"
    assert f"127.0.0.1:{middle.port} did not answer CONNECT" in str(error)


async def test_a_silent_proxy_has_a_deadline(pki):
    """A proxy that does not respond to CONNECT ends with ProxyError, and its connection is closed."""
    async with scripted(Peer.gone) as middle:
        error = await failure_at(443, pki / "ca.pem", Proxy("127.0.0.1", middle.port), setup=0.5)
        await middle.until_open(0)
    assert error.code == "ProxyError"


async def test_http_goes_to_the_proxy_with_the_whole_url():
    """Without TLS the proxy gets the request in absolute form, with the bucket's Host and the proxy's password."""
    seen = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.request())[0])
        await peer.say(OK)

    async with scripted(script) as middle:
        proxy = Proxy("127.0.0.1", middle.port, "Basic dTpw")
        async with client_of(9000, host="minio.test", proxy=proxy) as client:
            assert (await client.send("PUT", "/b/k?x=1", [], b"x")).status == 200
    assert seen[0].startswith(b"PUT http://minio.test:9000/b/k?x=1 HTTP/1.1\r\nhost: minio.test:9000\r\n")
    assert b"proxy-authorization: Basic dTpw\r\n" in seen[0]


S3 = Origin("https", "b.s3.amazonaws.com", 443)
VIA = Proxy("proxy", 3128)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, VIA),
        ({"HTTPS_PROXY": "proxy:3128/"}, VIA),
        ({"https_proxy": "http://proxy:3128", "HTTPS_PROXY": "http://other"}, VIA),
        ({"ALL_PROXY": "http://proxy"}, Proxy("proxy", 80)),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "http://us%40er:p%3A@proxy:3128"}, Proxy("proxy", 3128, "Basic dXNAZXI6cDo=")),
        ({"HTTPS_PROXY": ""}, None),
        ({"https_proxy": "", "HTTPS_PROXY": "http://other"}, None),
        ({"https_proxy": "", "ALL_PROXY": "http://proxy:3128"}, VIA),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://proxy:3128"}, VIA),
        ({"all_proxy": "http://proxy:3128", "ALL_PROXY": "http://other"}, VIA),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "", "NO_PROXY": "amazonaws.com"}, VIA),
        ({"Https_Proxy": "http://proxy:3128"}, VIA),
    ],
)
def test_the_environment_names_the_proxy(environ, proxy):
    """The scheme's variable is used, lower case first, then the one for all; user and password are decoded."""
    assert proxy_for(S3, environ) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "origin", "direct"),
    [
        ("*", S3, True),
        ("amazonaws.com", S3, True),
        (".AMAZONAWS.com", S3, True),
        ("*.amazonaws.com", S3, True),
        ("x, s3.amazonaws.com:443", S3, True),
        ("s3.amazonaws.com:9000", S3, False),
        ("aws.com", S3, False),
        (",, ", S3, False),
        ("10.0.0.0/8", Origin("https", "10.1.2.3", 443), True),
        ("10.0.0.0/8", Origin("https", "11.1.2.3", 443), False),
        ("::1", Origin("https", "::1", 443), True),
    ],
)
def test_no_proxy_lists_what_is_direct(no_proxy, origin, direct):
    """Host names, suffixes, ports, addresses, networks and the star in NO_PROXY bypass the proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy_for(origin, {"HTTPS_PROXY": "http://proxy:3128", name: no_proxy}) is None) == direct


VALUES = (None, "", "http://one:1", "http://two:2")


@pytest.mark.parametrize("names", list(itertools.product(VALUES, repeat=4)))
def test_the_rule_is_that_of_urllib(names, monkeypatch):
    """For every combination of both spellings and ALL_PROXY the proxy is the same as urllib's."""
    variables = dict(zip(("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), names, strict=True))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    found = urllib.request.getproxies_environment()
    url = found.get("https") or found.get("all")
    proxy = proxy_for(S3, os.environ)
    assert (proxy and f"http://{proxy.name}") == url


@pytest.mark.parametrize(
    "no_proxy", ["h.test", ".test", "test", "h.test:443", "h.test:80", "x,h.test", "*", "est", "H.TEST"]
)
def test_what_urllib_bypasses_is_bypassed(no_proxy):
    """NO_PROXY bypasses at least what it bypasses in urllib and in the AWS libraries."""
    theirs = vars(urllib.request)["proxy_bypass_environment"]("h.test:443", {"no": no_proxy})
    ours = proxy_for(Origin("https", "h.test", 443), {"HTTPS_PROXY": "http://p", "NO_PROXY": no_proxy}) is None
    assert ours == bool(theirs)


def test_what_is_no_port_is_part_of_a_name():
    """A non-ASCII digit in NO_PROXY is no port, and causes no traceback."""
    assert proxy_for(S3, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "amazonaws.com:\u00b2"}) == VIA


def test_a_header_of_a_web_request_is_no_proxy():
    """In a CGI program HTTP_PROXY comes from the client and is ignored."""
    assert proxy_for(Origin("http", "h", 80), {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}) is None


@pytest.mark.parametrize(
    "url",
    [
        *("socks5://u:s3cr3t@h", "https://u:s3cr3t@h", "http://u:s3cr3t@h:port", "http://", "http://u:s3cr3t@h:0"),
        *("http://u:12#s3cr3t@h:1", "http://u:12/s3cr3t@h:1", "u:12?s3cr3t@h:1", "http:/u:s3cr3t@h:1", "http://h/path"),
    ],
)
def test_a_proxy_of_another_kind_is_refused_without_its_password(url):
    """An unsupported proxy is refused with the variable's name and without its value."""
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        proxy_for(S3, {"HTTPS_PROXY": url})
    assert "s3cr3t" not in str(caught.value)


def test_a_proxy_keeps_its_password_to_itself():
    """The password is neither in the proxy's repr nor in its name."""
    proxy = Proxy("h", 1, "Basic c2VjcmV0")
    assert "c2VjcmV0" not in f"{proxy!r}{proxy.name}"
