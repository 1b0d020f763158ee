"""Trust store: the certificate authorities of every connection of the process.

No setting turns certificate checks off. A context is built once per set of files, and again when a file changes.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crosshaul.errors import ConfigError

_BUILDING = threading.Lock()
_contexts: dict[object, ssl.SSLContext] = {}
_MAX_CONTEXTS = 64
"""Contexts in the cache, of some hundreds of KiB each."""


class Bundle(NamedTuple):
    """A file, or a directory, of certificate authorities, and the setting that names it."""

    setting: str
    path: str


def process_bundle(environ: Mapping[str, str], profile_bundle: str | None = None) -> Bundle | None:
    """Return the bundle of the whole process, or None for the system's authorities.

    An empty variable counts as unset.
    """
    if path := environ.get("AWS_CA_BUNDLE"):
        return Bundle("AWS_CA_BUNDLE", path)
    if profile_bundle:
        return Bundle("ca_bundle of the AWS profile", str(Path(profile_bundle).expanduser()))
    return None


def tls_context(
    instead: Path | None = None,
    *,
    besides: Path | None = None,
    profile_bundle: str | None = None,
    system: bool = False,
) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, TLS 1.2 at least.

    ``instead`` is the only bundle to trust. Without it, the process's bundle is trusted or, if there is none, the
    system's authorities (in SSL_CERT_FILE and SSL_CERT_DIR) and REQUESTS_CA_BUNDLE.
    ``besides`` adds a bundle, ``system`` adds the system's authorities.

    Raises ConfigError for a bundle that can't be used. Blocks while it reads files.
    """
    own = Bundle("tls_ca_bundle", str(instead)) if instead is not None else process_bundle(os.environ, profile_bundle)
    bundles = [own] if own is not None else []
    if besides is not None:
        bundles.append(Bundle("tls_ca_bundle", str(besides)))
    with_system = own is None or system
    if with_system and (path := os.environ.get("REQUESTS_CA_BUNDLE")):
        bundles.append(Bundle("REQUESTS_CA_BUNDLE", path))
    key = (*bundles, with_system, *map(_version, _files(bundles, with_system=with_system)))
    with _BUILDING:
        if key not in _contexts:
            if len(_contexts) >= _MAX_CONTEXTS:
                _contexts.clear()
            _contexts[key] = _build(bundles, with_system=with_system)
        return _contexts[key]


def _files(bundles: Sequence[Bundle], *, with_system: bool) -> list[str]:
    system = [os.environ.get(name) or "" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")] if with_system else []
    return [*(bundle.path for bundle in bundles), *filter(None, system)]


def _version(path: str) -> tuple[str, int, int, int]:
    """Return a value that changes with the file."""
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return (path, 0, 0, 0)
    return (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _build(bundles: Sequence[Bundle], *, with_system: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
    if with_system:
        _load_system(context)
    for bundle in bundles:
        _load(context, bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a renegotiation would make a write wait for a read
    context.options |= ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_system(context: ssl.SSLContext) -> None:
    """Load OpenSSL's default authorities; an empty variable counts as unset, and a missing file is an error."""
    paths = ssl.get_default_verify_paths()
    file, directory = (os.environ.get(name) or "" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if file:
        _load(context, Bundle("SSL_CERT_FILE", file))
    elif Path(paths.openssl_cafile).is_file():
        context.load_verify_locations(cafile=paths.openssl_cafile)
    for path in (directory or paths.openssl_capath).split(os.pathsep):  # a list, as in OpenSSL
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)


def _load(context: ssl.SSLContext, bundle: Bundle) -> None:
    try:
        if Path(bundle.path).is_dir():
            context.load_verify_locations(capath=bundle.path)
        else:
            context.load_verify_locations(cafile=bundle.path)
    except (OSError, ValueError) as error:
        text = f"{bundle.setting}: {bundle.path} is not a readable file of CA certificates in PEM: {error}"
        raise ConfigError([text]) from error
