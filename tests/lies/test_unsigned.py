"""Stores and policies that refuse UNSIGNED-PAYLOAD over TLS: bodies are signed instead from then on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from crosshaul.delivery import multipart
from crosshaul.model import State
from crosshaul.partner import PartnerAccount, Settings
from support.partner_fixtures import Certificates
from support.pipeline import MIB, open_pipeline

BIG = os.urandom(11 * MIB)
WORDS = ["InvalidRequest", "AccessDenied", "SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"]


@pytest.mark.parametrize("first", ["small", "big", "streamed"])
@pytest.mark.parametrize("words", WORDS)
async def test_bodies_are_signed_where_they_have_to_be(
    words: Any, first: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One body is sent twice, whatever the refusal's text; all others are signed, and no destination parks."""
    settings = Settings(tls_certificate=certificates.certificate, tls_key=certificates.key, unsigned=words)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    async with PartnerAccount(settings) as account:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)
        if first == "streamed":
            monkeypatch.setattr(multipart, "_MAX_PARTS", 2)  # of 6 MiB each, which is more than memory
        memory = 5 * MIB if first == "streamed" else 64 * MIB
        async with open_pipeline(
            account, tmp_path, tls_ca_bundle=certificates.authority, memory=memory, max_concurrency=1
        ) as pipeline:
            await pipeline.drop("first", b"small" if first == "small" else BIG)
            await pipeline.comes_to("first", State.DELIVERED, timeout=30)
            for number in range(3):
                await pipeline.drop(f"f{number}", b"x")
                await pipeline.comes_to(f"f{number}", State.DELIVERED)
            bodies = [call for each in ("PutObject", "UploadPart") for call in pipeline.calls(each)]
            assert [call.code for call in bodies if call.code] == [words]
            assert pipeline.observer.parkings == pipeline.observer.surprises == []
        assert account.read("first") == (b"small" if first == "small" else BIG)


async def test_a_refusal_of_something_else_is_reported_as_it_is(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Once an unsigned body was accepted, a 403 is not tried again with a signature."""
    settings = Settings(tls_certificate=certificates.certificate, tls_key=certificates.key)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    async with PartnerAccount(settings) as account:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)
        async with open_pipeline(account, tmp_path, tls_ca_bundle=certificates.authority) as pipeline:
            await pipeline.drop("a", b"1")
            await pipeline.comes_to("a", State.DELIVERED)
            account.change(unsigned="AccessDenied")
            await pipeline.drop("b", b"2")
            await pipeline.comes_to("b", State.PENDING)
            while not pipeline.observer.parkings:
                await pipeline.comes_to("b", State.PENDING)
            assert not await pipeline.bucket.needs_hash()
