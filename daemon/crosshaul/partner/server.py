"""The HTTP face: one request in, one answer out, with what the script of faults does to it on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate

from aiohttp import web
from multidict import CIMultiDict

from crosshaul.partner import listing, multipart, objects, sts
from crosshaul.partner.access import allow, authenticate
from crosshaul.partner.control import PREFIX, Control
from crosshaul.partner.errors import ConnectionGoneError, Refusal, not_implemented
from crosshaul.partner.exchange import Answer, Exchange
from crosshaul.partner.faults import CALM, inside_answer
from crosshaul.partner.routing import Target, s3_operation, split
from crosshaul.partner.signature import Received, query_values
from crosshaul.partner.state import Call, State
from crosshaul.partner.store import Bucket, StoredObject

_INLINE = 64 * 1024

_OPERATIONS: dict[str, Callable[[Exchange, Bucket], Awaitable[Answer]]] = {
    "PutObject": objects.put,
    "GetObject": objects.get,
    "HeadObject": objects.get,
    "DeleteObject": objects.delete,
    "CreateMultipartUpload": multipart.create,
    "UploadPart": multipart.put_part,
    "CompleteMultipartUpload": multipart.complete,
    "AbortMultipartUpload": multipart.abort,
    "ListParts": multipart.list_parts,
    "ListObjectsV2": listing.list_objects,
    "HeadBucket": listing.head_bucket,
    "GetBucketLocation": listing.location,
    "GetBucketPolicy": listing.policy,
}


def _received(request: web.BaseRequest) -> Received:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    path, _, query = request.raw_path.partition("?")
    return Received(request.method, path, query, headers)


class Server:
    """Answers every request of both services, and those of the control."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._control = Control(state)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """What aiohttp calls for each request."""
        if request.raw_path.startswith(PREFIX):
            return await self._control.handle(request)
        started = time.monotonic()
        exchange = Exchange(
            self._state, request, _received(request), Target("", "", "", {}), self._state.now(), fault=CALM
        )
        answer: Answer | None = None
        try:
            answer = await self._answer(exchange)
            return await self._send(exchange, answer)
        except (ConnectionGoneError, ConnectionError):
            answer = None
            return web.Response()
        finally:
            self._log(exchange, answer, started)

    def _log(self, exchange: Exchange, answer: Answer | None, started: float) -> None:
        target, claimed = exchange.target, exchange.claimed
        self._state.calls.append(
            Call(
                operation=target.operation,
                key=target.key,
                part=target.part,
                status=answer.status if answer else None,
                code=answer.code if answer else "ConnectionGone",
                size=exchange.moved,
                at=started,
                seconds=time.monotonic() - started,
                access_key_id=claimed.access_key_id if claimed else "",
                request_id=exchange.request_id,
                fault="" if exchange.fault is CALM else exchange.fault.kind,
            )
        )

    async def _answer(self, exchange: Exchange) -> Answer:
        try:
            answer = await self._perform(exchange)
        except Refusal as refusal:
            answer = inside_answer(refusal, exchange.request_id) or self._state.refuse(exchange, refusal)
        answer = await exchange.fault.after(exchange, answer)
        # A client that still has body to send would take the next answer for this one's: S3 closes there too.
        return replace(answer, close=True) if exchange.owes_body() else answer

    async def _perform(self, exchange: Exchange) -> Answer:
        received = exchange.received
        bucket, key = split(received.headers.get("host", ""), received.path, exchange.settings.endpoint_host)
        if received.method == "POST" and not bucket:
            return await self._perform_sts(exchange)
        query = query_values(received.query) if received.query else {}
        exchange.target = Target("Unknown", bucket, key, query)
        operation = s3_operation(received.method, bucket, key, query, received.headers)
        exchange.target = Target(operation, bucket, key, query)
        exchange.fault = self._state.faults.take(exchange.target)
        await exchange.fault.before(exchange)
        return await self._perform_s3(exchange)

    async def _perform_sts(self, exchange: Exchange) -> Answer:
        exchange.target = Target("Unknown", "", "", {}, service="sts")
        body, parameters = await sts.read_parameters(exchange)
        exchange.target = Target(parameters.get("Action", "Unknown"), "", "", {}, service="sts")
        exchange.fault = self._state.faults.take(exchange.target)
        await exchange.fault.before(exchange)
        return sts.answer(exchange, body, parameters)

    async def _perform_s3(self, exchange: Exchange) -> Answer:
        target = exchange.target
        bucket = authenticate(exchange)
        allow(exchange, target.action)
        if target.operation == "ListBuckets":
            return listing.list_buckets(exchange)
        carry_out = _OPERATIONS.get(target.operation)
        if carry_out is None or bucket is None:
            raise not_implemented()
        return await carry_out(exchange, bucket)

    async def _send(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        headers = self._headers(exchange, answer)
        source, request = answer.source, exchange.request
        if request.method == "HEAD":
            headers["Content-Length"] = str(answer.length)
            response: web.StreamResponse = web.Response(status=answer.status, headers=headers)
        elif source is None and exchange.fault is CALM:
            response = web.Response(status=answer.status, headers=headers, body=answer.body)
        else:
            headers["Content-Length"] = str(answer.length)
            response = web.StreamResponse(status=answer.status, headers=headers)
        if answer.close:
            response.force_close()
        if not isinstance(response, web.Response):
            await response.prepare(request)
            await self._stream(exchange, answer, response)
        return response

    def _headers(self, exchange: Exchange, answer: Answer) -> CIMultiDict[str]:
        return CIMultiDict({
            "x-amz-id-2": f"host+{exchange.request_id}",
            "x-amz-request-id": exchange.request_id,
            "x-amzn-RequestId": exchange.request_id,
            "Date": formatdate(self._state.now(), usegmt=True),
            "Server": "AmazonS3",
            **answer.headers,
        })  # fmt: skip

    async def _stream(self, exchange: Exchange, answer: Answer, response: web.StreamResponse) -> None:
        half = answer.length // 2
        if answer.source is None:
            await response.write(answer.body[:half])
            await exchange.fault.between(exchange)
            await response.write(answer.body[half:])
            return
        stored, start, length = answer.source
        await self._copy(stored, start, half, response)
        if length:
            await exchange.fault.between(exchange)
        await self._copy(stored, start + half, length - half, response)

    @staticmethod
    async def _copy(stored: StoredObject, start: int, length: int, response: web.StreamResponse) -> None:
        for segment, offset, size in stored.chunks(start, length):
            read = (
                segment.read(offset, size) if size <= _INLINE else await asyncio.to_thread(segment.read, offset, size)
            )
            await response.write(read)
