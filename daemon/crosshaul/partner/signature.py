"""Verify AWS Signature Version 4, in code of its own.

Sources: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API Reference (header, query string), and
"Create a signed AWS API request" of the IAM User Guide.
"""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from urllib.parse import quote_from_bytes

from crosshaul.partner.authorization import ALGORITHM, Authorization
from crosshaul.partner.errors import ApiError
from crosshaul.partner.raw_request import RawRequest, decode_path, query_pairs

_UNRESERVED = "-._~"
_MAX_CACHED_KEYS = 1000


def encode_path(raw: bytes) -> str:
    """Encode a path for S3's canonical request: each byte once, without normalisation."""
    return quote_from_bytes(raw, safe="/" + _UNRESERVED)


def _canonical_query(query: str) -> str:
    encoded = [
        (quote_from_bytes(name, safe=_UNRESERVED), quote_from_bytes(value, safe=_UNRESERVED))
        for name, value in query_pairs(query)
        if name != b"X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def canonical_request(request: RawRequest, authorization: Authorization, payload: str) -> str:
    """Build the canonical request that has to be signed."""
    headers = "".join(
        f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in authorization.signed_headers
    )
    return "\n".join((
        request.method,
        encode_path(decode_path(request.path)),
        _canonical_query(request.query) if request.query else "",
        headers,
        ";".join(authorization.signed_headers),
        payload,
    ))  # fmt: skip


class SignatureVerifier:
    """Verify signatures, with a cache of derived signing keys."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], bytes] = {}

    def signing_key(self, secret: str, authorization: Authorization) -> bytes:
        """Derive the signing key of a secret and a credential scope."""
        name = (secret, authorization.scope)
        key = self._keys.get(name)
        if key is None:
            key = b"AWS4" + secret.encode()
            for word in authorization.scope.split("/"):
                key = sign(key, word)
            if len(self._keys) > _MAX_CACHED_KEYS:
                self._keys.clear()
            self._keys[name] = key
        return key

    def verify(self, request: RawRequest, authorization: Authorization, secret: str, payload: str) -> None:
        """Raise ApiError (SignatureDoesNotMatch) unless the signature was made with ``secret``."""
        canonical = canonical_request(request, authorization, payload)
        digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        to_sign = f"{ALGORITHM}\n{authorization.stamp}\n{authorization.scope}\n{digest}"
        expected = sign(self.signing_key(secret, authorization), to_sign).hex()
        if not hmac.compare_digest(expected, authorization.signature):
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                {
                    "AWSAccessKeyId": authorization.access_key_id,
                    "StringToSign": to_sign,
                    "SignatureProvided": authorization.signature,
                    "CanonicalRequest": canonical.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
                },
            )


def sign(key: bytes, text: str) -> bytes:
    """Compute an HMAC-SHA256."""
    return hmac.digest(key, text.encode(), "sha256")
