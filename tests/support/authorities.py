"""Certificate authorities for tests, and servers with certificates that these signed."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """A certificate authority and its certificates."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._builder(self._subject, self._key, 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.bundle = directory / f"{name}.pem"
        self.bundle.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, key, days) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    def server(self, names: tuple[str, ...], *, days: int = 30, own_key: bool = True) -> ssl.SSLContext:
        """Return a server's context with a certificate for ``names``; without ``key`` it uses the authority's own."""
        key = ec.generate_private_key(ec.SECP256R1()) if own_key else self._key
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")]) if own_key else self._subject
        builder = self._builder(subject, key, days)
        names_of = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        made = builder.add_extension(names_of, critical=False).sign(self._key, hashes.SHA256())
        path = self._directory / f"{self._name}-{hashlib.sha256(made.tbs_certificate_bytes).hexdigest()[:8]}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context
