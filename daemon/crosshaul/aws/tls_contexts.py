"""TLS contexts by kind of call: the certificate authorities to trust. The functions block."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from crosshaul.aws.net import tls_context
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Destination, aws_profile


class ContextLoader:
    """Calls ``load`` in a thread of its own: a bundle on a hung file system blocks one thread and nothing else."""

    def __init__(self, load: Callable[[], ssl.SSLContext]) -> None:
        self._load = load
        self._loading: asyncio.Future[ssl.SSLContext] | None = None

    async def get(self) -> ssl.SSLContext:
        """Return the context, from the load under way or a new one. Raises the errors of ``load``."""
        if self._loading is None:
            threads = ThreadPool(1, "ca-bundle")
            self._loading = threads.begin(self._load)
            self._loading.add_done_callback(lambda loading: self._on_loaded(threads, loading))
        return await asyncio.shield(self._loading)

    def _on_loaded(self, threads: ThreadPool, loading: asyncio.Future[ssl.SSLContext]) -> None:
        threads.close()
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # or asyncio logs it as never retrieved when every caller was cancelled


def for_bucket(destination: Destination, profile: str | None) -> ssl.SSLContext:
    """Return the context of S3 calls: trust the destination's bundle, else the process's. Raises ConfigError."""
    return tls_context(destination.tls_ca_bundle, profile_bundle=_profile_bundle(profile))


def for_identity(profile: str | None, ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the context of STS and the credential providers: trust the process's bundle and ``ca_bundle``.

    A private store has its own STS, and a destination with a bundle may use AWS's. Raises ConfigError.
    """
    return tls_context(besides=ca_bundle, profile_bundle=_profile_bundle(profile))


def for_monitor(profile: str | None) -> ssl.SSLContext:
    """Return the context of the heartbeat: trust the system's authorities and the process's bundle.

    The process's bundle is meant for AWS and the stores; monitors are mostly elsewhere. Raises ConfigError.
    """
    return tls_context(system=True, profile_bundle=_profile_bundle(profile))


def _profile_bundle(profile: str | None) -> str | None:
    return aws_profile.read(profile, os.environ).ca_bundle
