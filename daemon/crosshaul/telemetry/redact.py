"""Remove secrets from text before it is logged or shown. Pure, except for the list of registered secrets."""

from __future__ import annotations

import re
import threading
from functools import lru_cache

REDACTED = "[redacted]"

_SECRET_NAMES = (
    *("secretaccesskey", "awssecret", "secretkey", "sessiontoken", "securitytoken", "externalid", "authorization"),
    *("password", "signingkey", "privatekey", "signature"),
)
_PUBLIC_SUFFIXES = ("file", "index")
"""``external_id_file`` and ``external_id_index`` name a secret and don't hold it."""
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
# A quick check first, since nearly no text has a secret and every delivery writes a log line.
_SUSPECT = re.compile(r"(?i)secret|token|external|password|signature|authorization|aws4-|[wq]oGZXIv|IQoJb3Jp")
_SECRET_KEY_CHARACTERS = 40
_MIN_SECRET_CHARACTERS = 2
"""AWS's least length of an external ID."""
_MIN_SUBSTRING_CHARACTERS = 6
"""Shorter secrets are removed as whole words only, since they would match inside ordinary words."""
_MAX_SECRETS = 256


class _Registered:
    """The registered secrets. Replaced as a whole, since the log's thread reads them."""

    secrets: tuple[tuple[str, re.Pattern[str] | None], ...] = ()


_ONE_AT_A_TIME = threading.Lock()
"""Credentials are loaded in a thread of their own."""


def conceal(*secrets: str) -> None:
    """Register secrets (external IDs, session tokens), to be removed from every text from now on.

    Secrets of 2 to 5 characters are removed where they are whole words. Only the latest 256 are kept.
    """
    with _ONE_AT_A_TIME:
        known = dict(_Registered.secrets)
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_CHARACTERS:
                known.pop(secret, None)
                short = len(secret) < _MIN_SUBSTRING_CHARACTERS
                known[secret] = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)") if short else None
        _Registered.secrets = tuple(known.items())[-_MAX_SECRETS:]


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Return whether a field, header or parameter of this name, in any spelling, holds a secret."""
    plain = _NOT_ALNUM.sub("", name.lower())
    return not plain.endswith(_PUBLIC_SUFFIXES) and any(secret in plain for secret in _SECRET_NAMES)


def redact(text: str, *, shapes: bool = True) -> str:
    """Return the text without secrets. ``shapes=False`` is for paths and keys: 40 characters may be just a name."""
    for secret, word in _Registered.secrets:
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
    if shapes and len(text) >= _SECRET_KEY_CHARACTERS:
        text = _SECRET_KEY.sub(REDACTED, text)
    return text
