"""A man in the middle, at each client of the process and on each path: no untrusted server receives a request."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.errors import Fault
from crosshaul.service.bucket_access import open_destination
from support.authorities import Authority
from support.strangers import AWS_NAMES, CLIENTS, SECRETS, away, in_the_middle, output


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that this machine trusts."""
    return Authority(tmp_path_factory.mktemp("trusted"), "trusted")


@pytest.fixture(scope="module")
def strangers(trusted: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ssl.SSLContext]:
    """The certificates that a server other than AWS can present."""
    other = Authority(tmp_path_factory.mktemp("other"), "other")
    return {
        "an unknown authority": other.server(AWS_NAMES),
        "another name": trusted.server(("attacker.example", "*.attacker.example")),
        "expired": trusted.server(AWS_NAMES, days=-1),
        "self-signed": other.server(AWS_NAMES, own_key=False),
    }


CASES: dict[str, dict[str, str]] = {
    "direct": {},
    "empty bundles": {"AWS_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""},
    "by a proxy": {"HTTPS_PROXY": "http://127.0.0.1:{proxy}"},
    "by a proxy for all, empty bundles": {"ALL_PROXY": "http://127.0.0.1:{proxy}", "AWS_CA_BUNDLE": ""},
}
PAST = {"past the proxy": {"HTTPS_PROXY": "http://127.0.0.1:{proxy}", "NO_PROXY": "amazonaws.com,monitor.test"}}


def on_the_way(world, middle, way: str, bundle: Path) -> None:
    """Set the environment of one case."""
    world.monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    for name, value in (CASES | PAST)[way].items():
        world.monkeypatch.setenv(name, value.format(proxy=middle.proxy))


@pytest.mark.parametrize("way", CASES)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_stranger_hears_nothing(client: str, way: str, trusted, strangers, tmp_path: Path):
    """No request, and so no external ID, token or address, reaches a server without the name's own certificate."""
    for what, tls in strangers.items():
        with away(tmp_path, what) as world:
            async with in_the_middle(tls, world.monkeypatch) as middle:
                on_the_way(world, middle, way, trusted.bundle)
                line = await output(client, world)
                assert middle.received == [], what
                assert middle.looked_up >= 1, "it was not asked at all"
                if client != "ListRoles":
                    assert "certificate" in line, (what, line)


@pytest.mark.parametrize("way", CASES | PAST)
@pytest.mark.parametrize("client", CLIENTS)
async def test_who_shows_the_certificate_is_asked(client: str, way: str, trusted, tmp_path: Path):
    """With the name's own certificate each client makes its call, through the proxy if one is set."""
    with away(tmp_path, client) as world:
        async with in_the_middle(trusted.server(AWS_NAMES), world.monkeypatch) as middle:
            on_the_way(world, middle, way, trusted.bundle)
            await output(client, world)
            assert len(middle.received) >= 1
            assert bool(middle.tunnels) == ("by a proxy" in way)


STORES = {
    "SSL_CERT_FILE": lambda world, bundle: world.monkeypatch.setenv("SSL_CERT_FILE", bundle),
    "AWS_CA_BUNDLE": lambda world, bundle: world.monkeypatch.setenv("AWS_CA_BUNDLE", bundle),
    "REQUESTS_CA_BUNDLE": lambda world, bundle: world.monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle),
    "the profile's ca_bundle": lambda world, bundle: world.profile(f"ca_bundle = {bundle}"),
    "tls_ca_bundle": lambda world, bundle: world.destination.update(tls_ca_bundle=bundle),
}
OWN_PROFILE = {"SSO", "SSO's refresh", "source_profile"}
"""They write a profile themselves."""


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("client", CLIENTS)
async def test_each_client_trusts_the_same_store(client: str, store: str, trusted, tmp_path: Path):
    """A private authority configured in any documented place is trusted by every client."""
    if (store == "the profile's ca_bundle" and client in OWN_PROFILE) or (store, client) == (
        "tls_ca_bundle",
        "heartbeat",
    ):
        return  # a destination's bundle is not the monitor's
    with away(tmp_path, client) as world:
        async with in_the_middle(trusted.server(AWS_NAMES), world.monkeypatch) as middle:
            STORES[store](world, str(trusted.bundle))
            await output(client, world)
            assert len(middle.received) >= 1


async def test_a_destination_s_session_trusts_the_destination_s_bundle(trusted, tmp_path: Path):
    """The daemon's AssumeRole works at a private store whose authority only the destination names."""
    with away(tmp_path, "role") as world:
        async with in_the_middle(trusted.server(AWS_NAMES), world.monkeypatch) as middle:
            world.keys()
            world.destination |= {
                "tls_ca_bundle": str(trusted.bundle),
                "role_arn": "arn:aws:iam::222222222222:role/partner",
                "external_id": SECRETS["external"],
            }
            config = world.config()
            async with open_destination(config, config.destinations["d"], BaseCredentials(config.identity)) as (
                refresher,
                _,
            ):
                with pytest.raises(Fault):
                    await refresher.credentials()
            assert b"Action=AssumeRole" in middle.received[0]


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("client", CLIENTS)
async def test_no_client_follows_a_redirect(client: str, status: int, trusted, tmp_path: Path):
    """A redirect to plain http from a server with AWS's own certificate is not followed."""
    elsewhere: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append(await reader.read(100))
        writer.close()

    with away(tmp_path, client) as world:
        async with (
            await asyncio.start_server(hear, "127.0.0.1", 0) as other,
            in_the_middle(trusted.server(AWS_NAMES), world.monkeypatch) as middle,
        ):
            on_the_way(world, middle, "direct", trusted.bundle)
            port = other.sockets[0].getsockname()[1]
            place = f"http://127.0.0.1:{port}/there"
            middle.answer = f"HTTP/1.1 {status} Elsewhere\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode()
            line = await output(client, world)
            assert len(middle.received) == 1
    assert elsewhere == []
    if client != "ListRoles":
        assert str(status) in line


REFUSALS = {
    "407": b"HTTP/1.1 407 Who are you?\r\nproxy-authenticate: Basic\r\ncontent-length: 900\r\n\r\n<html>" + b"x" * 300,
    "403": b"HTTP/1.1 403 Forbidden\r\nconnection: keep-alive\r\ncontent-length: 6\r\n\r\n<html>",
    "502": b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>",
}


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_proxy_s_refusal_is_reported_at_once(client: str, status: str, trusted, tmp_path: Path):
    """If a proxy refuses the tunnel, each client reports its status and the remedy at once."""
    with away(tmp_path, client) as world:
        async with in_the_middle(trusted.server(AWS_NAMES), world.monkeypatch) as middle:
            on_the_way(world, middle, "by a proxy", trusted.bundle)
            middle.refusal = REFUSALS[status]
            async with asyncio.timeout(9):  # a deadline would take 10 s
                line = await output(client, world)
            assert middle.received == []
            if client != "ListRoles":
                assert f"the proxy 127.0.0.1:{middle.proxy} refused a tunnel" in line
                assert status in line
            assert not any(secret in line for secret in SECRETS.values())


METADATA = {
    "the machine's": (
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}", "AWS_EC2_METADATA_DISABLED": "false"},
        b"PUT /latest",
    ),
    "the container's": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/c", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"},
        b"GET /c",
    ),
}


@pytest.mark.parametrize("service", METADATA)
async def test_a_metadata_service_is_asked_by_no_proxy_and_followed_nowhere(service: str, tmp_path: Path):
    """The metadata service is called without a proxy, and its redirect is not followed."""
    asked, elsewhere = [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        place = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/there"
        writer.write(f"HTTP/1.1 307 There\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode())
        writer.close()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append(await reader.read(100))
        writer.close()

    settings, first = METADATA[service]
    with away(tmp_path, service) as world:
        async with (
            await asyncio.start_server(serve, "127.0.0.1", 0) as server,
            await asyncio.start_server(hear, "127.0.0.1", 0) as other,
        ):
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for name, value in settings.items():
                world.monkeypatch.setenv(name, value.format(url=url))
            proxy = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
            world.monkeypatch.setenv("HTTP_PROXY", proxy)
            world.monkeypatch.setattr("aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME", 0)
            with pytest.raises(Fault) as caught:
                await world.chain().credentials()
    assert asked[0].startswith(first)
    assert elsewhere == []
    assert caught.value.diagnosis.code in {"NoCredentials", "CredentialRetrieval"}


BY_ADDRESS = {
    "no_proxy for the network": ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "10.0.0.0/8, 127.0.0.0/8"}, False),
    "no_proxy for the address": ({"HTTP_PROXY": "{proxy}", "no_proxy": "127.0.0.1"}, False),
    "no_proxy for another network": ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "10.0.0.0/8"}, True),
    "a proxy for all": ({"ALL_PROXY": "{proxy}"}, True),
    "switched off in lower case": ({"HTTP_PROXY": "{proxy}", "http_proxy": ""}, False),
    "an empty one is unset": ({"HTTP_PROXY": "", "all_proxy": "{proxy}"}, True),
    "https only": ({"HTTPS_PROXY": "{proxy}"}, False),
}


@pytest.mark.parametrize("case", BY_ADDRESS)
@pytest.mark.parametrize("client", ["AssumeRole", "HeadObject", "PutObject", "source_profile"])
async def test_all_clients_go_one_way(client: str, case: str, trusted, tmp_path: Path):
    """Over plain http to an address, all clients make the same decision about the proxy."""
    at_server: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_server.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    with away(tmp_path, client) as world:
        async with (
            await asyncio.start_server(serve, "127.0.0.1", 0) as server,
            in_the_middle(trusted.server(AWS_NAMES), world.monkeypatch) as middle,
        ):
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            world.destination["endpoint_url"] = world.identity["sts_endpoint_url"] = url
            settings, proxied = BY_ADDRESS[case]
            for name, value in settings.items():
                world.monkeypatch.setenv(name, value.format(proxy=f"http://127.0.0.1:{middle.proxy}"))
            await output(client, world)
    assert (bool(middle.received), bool(at_server)) == (proxied, not proxied)
