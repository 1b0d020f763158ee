"""No secret leaves the process in a log line. Pure: text in, text out."""

from __future__ import annotations

import re
from functools import lru_cache

REDACTED = "[redacted]"

_SECRET_NAMES = (
    *("secretaccesskey", "awssecret", "secretkey", "sessiontoken", "securitytoken", "externalid", "authorization"),
    *("password", "signingkey", "privatekey", "signature"),
)
_NOT_ALNUM = re.compile(r"[^a-z0-9]")
# After a bare colon a word without a digit is prose ("external_id: is missing").
# `SecretAccessKey: x`, `"ExternalId": "x"`, `<SessionToken>x`, `X-Amz-Security-Token=x` and their like.
_ASSIGNMENT = re.compile(
    r"""(?ix)
    (?P<name> (?:aws[_-]?)? secret (?:[_-]?access)? [_-]?key | (?:session|security)[_-]?token
            | external[_-]?ids? | password | x-amz-signature | signature )
    (?P<sign> ["']? \s* [=>] \s* | ["'] \s* : \s* | \s* : \s* (?=["'\[(] | \S*\d) )
    (?P<value> "[^"]*" | '[^']*' | \[[^\]]*\] | \([^)]*\) | [^\s"'&<>,;)\]]+ )
    """
)
_AUTHORIZATION = re.compile(r"(?i)(authorization[\"']?\s*[=:]\s*|(?=AWS4-HMAC-SHA256 Credential=))[^\r\n]+")
# How STS's session tokens begin (base64 of "\x17\n\x06er/aws" and "!\n\torigin").
_SESSION_TOKEN = re.compile(r"\b(?:FwoGZXIvYXdz|FQoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9/+=_%-]{16,}")
# The shape of an AWS secret access key: 40 base64 characters, which in practice means all three classes.
_SECRET_KEY = re.compile(
    r"(?<![A-Za-z0-9/+=_-])(?=[^\s]{0,39}[a-z])(?=[^\s]{0,39}[A-Z])(?=[^\s]{0,39}[0-9])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])"
)
# One quick look spares nearly all text the thorough ones: the log is on the path of every delivery.
_SUSPECT = re.compile(r"(?i)secret|token|external|password|signature|authorization|aws4-|[wq]oGZXIv|IQoJb3Jp")
_KEY_LENGTH = 40
_SHORTEST_KNOWN = 2
"""Of an external ID."""
_SHORTEST_ANYWHERE = 6
"""Shorter ones are secrets only as a word of their own: else they would tear holes into everything."""
_MOST_KNOWN = 256


class _Known:
    """The secrets that were told. Replaced as a whole, since the log's thread reads them."""

    secrets: tuple[tuple[str, re.Pattern[str] | None], ...] = ()


def conceal(*secrets: str) -> None:
    """Remember secrets (external IDs, session tokens): from now on they are cut out of any text.

    One of 2 to 5 characters is cut out where it stands as a word. Of more than 256 the oldest are forgotten.
    """
    known = dict(_Known.secrets)
    for secret in secrets:
        if len(secret) >= _SHORTEST_KNOWN:
            known.pop(secret, None)
            short = len(secret) < _SHORTEST_ANYWHERE
            known[secret] = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)") if short else None
    _Known.secrets = tuple(known.items())[-_MOST_KNOWN:]


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether what goes by this name (of a field, header or parameter, in any spelling) is a secret."""
    plain = _NOT_ALNUM.sub("", name.lower())
    return not plain.endswith("file") and any(secret in plain for secret in _SECRET_NAMES)


def redact(text: str, *, shapes: bool = True) -> str:
    """The text without secrets. ``shapes=False`` for paths and keys, where 40 characters may well be just a name."""
    for secret, word in _Known.secrets:
        if secret not in text:
            continue
        if word is None:
            text = text.replace(secret, REDACTED)
        elif shapes:
            text = word.sub(REDACTED, text)
    if _SUSPECT.search(text):
        text = _AUTHORIZATION.sub(rf"\1{REDACTED}", text)
        text = _ASSIGNMENT.sub(rf"\g<name>\g<sign>{REDACTED}", text)
        text = _SESSION_TOKEN.sub(REDACTED, text)
    if shapes and len(text) >= _KEY_LENGTH:
        text = _SECRET_KEY.sub(REDACTED, text)
    return text
