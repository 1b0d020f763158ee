"""Shared fixtures: a partner account in this process or in another one, and a certificate for loopback."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import multiprocessing
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crosshaul.partner import PartnerAccount, Settings
from crosshaul.partner.__main__ import serve

_STARTS_WITHIN = 60.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["crosshaul.partner.__main__"])
"""A partner account is a fork of a process that has imported all that it needs, as hundreds of tests start one."""


@pytest.fixture
async def partner(tmp_path: Path) -> AsyncIterator[PartnerAccount]:
    """A partner account with the default settings, in this process, over plain http."""
    async with PartnerAccount(Settings(spool=tmp_path / "partner-spool")) as account:
        yield account


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority to trust, and the server's certificate and key for 127.0.0.1 and localhost."""

    authority: Path
    certificate: Path
    key: Path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: str, issuer: str, key: Any, signer: Any, extensions: list[Any], days: int = 30
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


_CA_USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def make_certificates(
    directory: Path, names: tuple[str, ...] = ("localhost", "*.localhost"), days: int = 30
) -> Certificates:
    """Make an authority, and its certificate for 127.0.0.1, ::1 and ``names``, valid for this many days."""
    directory.mkdir(parents=True, exist_ok=True)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    basic = (x509.BasicConstraints(ca=True, path_length=None), True)
    authority = _certificate("Test CA", "Test CA", authority_key, authority_key, [basic, (_CA_USAGE, True)])
    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    alternatives = x509.SubjectAlternativeName([*(x509.DNSName(name) for name in names), *addresses])
    certificate = _certificate("loopback", "Test CA", key, authority_key, [(alternatives, False)], days)
    paths = Certificates(directory / "authority.pem", directory / "server.pem", directory / "server.key")
    paths.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    paths.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One set of certificates for the whole run."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@dataclass
class PartnerProcess:
    """A partner account in a process of its own, seen through its control. All calls block."""

    endpoint_url: str
    sts_endpoint_url: str
    access_key_id: str
    secret_access_key: str
    role_arn: str
    external_id: str | None
    bucket: str
    region: str
    control_url: str
    process: BaseProcess = field(repr=False)

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.control_url}/{path}", data=data, method=method)
        context = ssl._create_unverified_context() if self.control_url.startswith("https") else None
        try:
            with urllib.request.urlopen(request, timeout=120, context=context) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None

    def _ask(self, path: str) -> Any:
        return json.loads(self._call("GET", path))

    def objects(self, *, sha256: bool = False) -> dict[str, dict[str, Any]]:
        """Return the bucket's content, by key: size, etag, writes, metadata, headers, tags, checksum, parts, sha256."""
        return {each["key"]: each for each in self._ask(f"objects?sha256={int(sha256)}")}

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self._call("GET", f"body?key={urllib.parse.quote(key, safe='')}")

    def uploads(self) -> list[dict[str, Any]]:
        """Unfinished multipart uploads: id, key, parts (numbers)."""
        return self._ask("uploads")

    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """The call log, oldest first."""
        return self._ask(f"calls?operation={operation}" if operation else "calls")

    def secrets(self) -> list[str]:
        """Return every secret of the account: keys, tokens, the external ID."""
        return self._ask("secrets")["secrets"]

    def forget_calls(self) -> None:
        """Empty the call log."""
        self._call("DELETE", "calls")

    def fault(self, kind: str, operation: str = "*", *, rule: dict[str, Any] | None = None, **action: Any) -> None:
        """Add a rule: ``kind`` and its fields, and in ``rule`` key, part, times, after, probability."""
        self._call("POST", "faults", {"operation": operation, **(rule or {}), "action": {"kind": kind, **action}})

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules, each with the number of its hits."""
        return self._ask("faults")

    def clear_faults(self) -> None:
        """Remove all rules."""
        self._call("DELETE", "faults")

    def settings(self, **values: Any) -> None:
        """Change settings; raises ValueError."""
        self._call("POST", "settings", values)

    def revoke(self, code: str = "ExpiredToken") -> None:
        """Refuse every session that exists now."""
        self._call("POST", "revoke", {"code": code})


@contextlib.contextmanager
def partner_process(
    *, certificates: Certificates | None = None, port: int = 0, spool: Path | None = None, **settings: Any
) -> Iterator[PartnerProcess]:
    """Serve a partner account from a process of its own; ``settings`` are those of ``Settings``."""
    arguments = ["--port", str(port), "--config", json.dumps(settings)]
    if spool:
        arguments += ["--spool", str(spool)]
    if certificates:
        arguments += ["--tls", str(certificates.certificate), str(certificates.key)]
    here, there = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=serve, args=(there.send, arguments), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(_STARTS_WITHIN), "the partner account did not start"
        yield PartnerProcess(**json.loads(here.recv()), process=process)
    finally:
        here.close()
        process.terminate()
        process.join(timeout=20)
        process.kill()
        process.join()


@pytest.fixture
def account_a(partner: PartnerAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set only Account A's user in the environment, without this machine's own credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", partner.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", partner.secret_access_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
