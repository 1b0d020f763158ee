"""botocore's connections, kept to what a call needs: no redirect, no endless answer, errors as they came."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import BotoCoreError, HTTPClientError, ResponseStreamingError

from crosshaul.aws.error_body import elements, legible, unzipped
from crosshaul.aws.http1 import Answer

_MOST = 1024 * 1024
"""Bytes of an answer that is no object's: AWS's own have some thousands."""
_PIECE = 64 * 1024
_ERROR = 300
"""The lowest status that is an error here."""


class RefusedError(BotoCoreError):  # type: ignore[misc]
    """An error answer, for ``faults`` to read: botocore's parsers choke on what proxies say, and forget the status."""

    fmt = "refused with HTTP {status}"

    def __init__(self, answer: Answer) -> None:
        super().__init__(status=answer.status)
        self.answer = answer


class NotHTTPError(BotoCoreError):  # type: ignore[misc]
    """Garbage came instead of an answer."""

    fmt = "the answer is not HTTP/1.1 (is it another service, or a proxy, that answers?)"


class EndlessAnswerError(BotoCoreError):  # type: ignore[misc]
    """Much more came than S3 or STS ever say."""

    fmt = "the body of the answer is over {most:,} bytes"


class DirectSession(AIOHTTPSession):  # type: ignore[misc]
    """Follows no redirect, and raises RefusedError for every error answer, also for those that come with a 200.

    aiobotocore leaves aiohttp's redirects on: whoever answered 307 would be sent AssumeRole's body with its external
    ID, or the session token, at any other host. As an answer, a redirect parks the destination and is told.
    """

    async def _get_session(self, proxy_url: str | None) -> SimpleNamespace:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=partial(_request, session))

    async def send(self, request: Any) -> Any:  # noqa: ANN401 - botocore's own, which has no types
        """One request; the answer is one for botocore's parsers."""
        try:
            answer = await super().send(request)
        except HTTPClientError as error:
            cause = error.kwargs.get("error")
            if isinstance(cause, EndlessAnswerError):
                raise cause from error
            if (
                type(error) is HTTPClientError
            ):  # aiobotocore's for all that it has no name for; its text quotes what came
                raise NotHTTPError from error
            raise
        if isinstance(answer.raw, _Whole) and _is_error(answer.raw.answer):
            raise RefusedError(answer.raw.answer)
        return answer


def _is_error(answer: Answer) -> bool:
    """Whether it is no document that S3 or STS gives when all is well."""
    if answer.status >= _ERROR or "html" in answer.headers.get("content-type", "").lower():
        return True
    document = answer.body.lstrip(b"\xef\xbb\xbf \t\r\n")
    return bool(document) and (not document.startswith(b"<") or "Code" in elements(document))


class _Whole:
    """An answer with its body, in the form in which aiobotocore takes it from aiohttp."""

    def __init__(self, response: Any, body: bytes) -> None:  # noqa: ANN401 - aiohttp's, whom only aiobotocore knows
        self.url = response.url
        self.status = response.status
        self.raw_headers = response.raw_headers
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.answer = Answer(response.status, headers, legible(unzipped(headers, body, _MOST)))

    async def read(self) -> bytes:
        return self.answer.body


async def _request(session: Any, method: str, **options: Any) -> Any:  # noqa: ANN401
    response = await session.request(method, allow_redirects=False, **options)
    if method == "GET" and response.status < _ERROR:
        return response  # an object's bytes are read by whoever asked for them
    return _Whole(response, await _read(response))


async def read_object(answer: dict[str, Any], most: int) -> bytes:
    """The body of a GetObject, and of that no more than ``most`` bytes and what came with them.

    Raises an error of botocore's, whatever aiohttp raises: aiobotocore lets some of that through here.
    """
    body = bytearray()
    stream = answer["Body"]
    try:
        while len(body) <= most and (piece := await stream.read(_PIECE)):
            body += piece
    except (BotoCoreError, TimeoutError):
        raise
    except Exception as error:
        raise ResponseStreamingError(error=type(error).__name__) from error
    finally:
        stream.close()
    return bytes(body)


async def _read(response: Any) -> bytes:  # noqa: ANN401
    """The body up to a bound; of an error more is not needed, of anything else more makes no sense."""
    body = bytearray()
    try:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > _MOST:
                if response.status < _ERROR:
                    raise EndlessAnswerError(most=_MOST)
                break
    finally:
        response.close()  # does nothing to the connection where all of the answer came
    return bytes(body)
