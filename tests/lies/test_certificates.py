"""An expired certificate at each of our clients: the destination parks, and resumes when there is a valid one."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from crosshaul.errors import FaultKind
from crosshaul.model import State
from crosshaul.partner import PartnerAccount, Settings
from support.overheard import overheard
from support.partner_fixtures import Certificates, make_certificates

SIZES = {"PutObject": 3_000, "HeadObject": 300 * 1024}
"""A small file goes by the wire at once; about a large one aioboto3 asks first."""


class Renewable(PartnerAccount):
    """A partner account whose certificate can be changed while it serves."""

    context: ssl.SSLContext

    def _tls(self) -> ssl.SSLContext | None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        return self.context

    def show(self, certificates: Certificates) -> None:
        """Use this certificate for new connections."""
        self.context.load_cert_chain(certificates.certificate, certificates.key)


@pytest.mark.parametrize("operation", ["AssumeRole", "PutObject", "HeadObject"])
async def test_a_certificate_that_ran_out_parks_until_there_is_another(
    operation: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The message says that the certificate has expired; with a new one the file arrives with no attempt counted."""
    expired = make_certificates(tmp_path / "expired", days=-1)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(expired.authority.read_text() + certificates.authority.read_text())
    settings = Settings(tls_certificate=certificates.certificate, spool=tmp_path / "spool")
    async with Renewable(settings) as account:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        account.show(expired if operation == "AssumeRole" else certificates)
        async with overheard(account, tmp_path, tls_ca_bundle=bundle) as pipeline:
            if operation != "AssumeRole":
                await pipeline.bucket._refresher.credentials()
                account.show(expired)
            await pipeline.drop("f", bytes(SIZES.get(operation, 3_000)))
            async with asyncio.timeout(60):
                while not pipeline.observer.parkings:
                    await asyncio.sleep(0.01)
            said = pipeline.observer.parkings[0]
            assert (said.kind, said.code, said.operation) == (FaultKind.DESTINATION, "TLSError", operation)
            assert "expired" in said.message
            assert "dates" in said.advice
            account.show(certificates)
            pipeline.bucket._refresher._requested.set()
            pipeline.transfer.probe_now()
            assert (await pipeline.comes_to("f", State.DELIVERED, timeout=60)).attempts == 0
