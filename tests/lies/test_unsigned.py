"""Stores and policies that refuse UNSIGNED-PAYLOAD over TLS: bodies are signed instead, and that is remembered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crosshaul.model import State
from crosshaul.partner import PartnerAccount, Settings
from support.lane import MIB, lane_to
from support.partner_fixtures import Certificates

BIG = os.urandom(11 * MIB)
WORDS = ["InvalidRequest", "AccessDenied", "SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"]


@pytest.mark.parametrize("first", ["small", "big", "streamed"])
@pytest.mark.parametrize("words", WORDS)
async def test_bodies_are_signed_where_they_have_to_be(
    words: str, first: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One body is sent twice, whatever the words of the refusal; all others go signed, and no destination parks."""
    settings = Settings(tls_certificate=certificates.certificate, tls_key=certificates.key, unsigned=words)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    async with PartnerAccount(settings) as account:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)
        memory = 2 * MIB if first == "streamed" else 64 * MIB
        async with lane_to(
            account, tmp_path, tls_ca_bundle=certificates.authority, memory=memory, max_concurrency=1
        ) as lane:
            await lane.drop("first", b"small" if first == "small" else BIG)
            await lane.comes_to("first", State.DELIVERED, timeout=30)
            for number in range(3):
                await lane.drop(f"f{number}", b"x")
                await lane.comes_to(f"f{number}", State.DELIVERED)
            bodies = [call for each in ("PutObject", "UploadPart") for call in lane.calls(each)]
            assert [call.code for call in bodies if call.code] == [words]
            assert lane.ear.parkings == lane.ear.surprises == []
        assert account.read("first") == (b"small" if first == "small" else BIG)


async def test_a_refusal_of_something_else_is_told_as_it_is(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Once an unsigned body was taken, a 403 is not tried again with a signature."""
    settings = Settings(tls_certificate=certificates.certificate, tls_key=certificates.key)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    async with PartnerAccount(settings) as account:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)
        async with lane_to(account, tmp_path, tls_ca_bundle=certificates.authority) as lane:
            await lane.drop("a", b"1")
            await lane.comes_to("a", State.DELIVERED)
            account.change(unsigned="AccessDenied")
            await lane.drop("b", b"2")
            await lane.comes_to("b", State.PENDING)
            while not lane.ear.parkings:
                await lane.comes_to("b", State.PENDING)
            assert not await lane.bucket.needs_hash()
