"""Connections of botocore's calls that go where they were sent and nowhere else."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

from aiobotocore.httpsession import AIOHTTPSession


class DirectSession(AIOHTTPSession):  # type: ignore[misc]
    """Follows no redirect.

    aiobotocore leaves aiohttp's redirects on: whoever answered 307 would be sent AssumeRole's body with its external
    ID, or the session token, at any other host. As an answer, a redirect parks the destination and is told.
    """

    async def _get_session(self, proxy_url: str | None) -> SimpleNamespace:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=partial(session.request, allow_redirects=False))
