"""The HTTP server: route each request to its operation, and apply the script of faults."""

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
from crosshaul.partner.errors import ApiError, ConnectionGoneError, not_implemented
from crosshaul.partner.exchange import NO_FAULT, Exchange, Response, error_response
from crosshaul.partner.fault_rules import FaultScript
from crosshaul.partner.raw_request import RawRequest, query_values
from crosshaul.partner.routing import Target, s3_operation, split
from crosshaul.partner.state import AccountState, Call
from crosshaul.partner.store import Bucket, StoredObject

_MAX_INLINE_READ_BYTES = 64 * 1024

_OPERATIONS: dict[str, Callable[[Exchange, Bucket], Awaitable[Response]]] = {
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


def _raw_request(request: web.BaseRequest) -> RawRequest:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    path, _, query = request.raw_path.partition("?")
    return RawRequest(request.method, path, query, headers)


class Server:
    """Serve the requests of S3, STS and the control API."""

    def __init__(self, state: AccountState, faults: FaultScript) -> None:
        self._state = state
        self._faults = faults
        self._control = Control(state, faults)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request, and log it."""
        if request.raw_path.startswith(PREFIX):
            return await self._control.handle(request)
        started = time.monotonic()
        exchange = Exchange(self._state, request, _raw_request(request), Target("", "", "", {}), self._state.now())
        response: Response | None = None
        try:
            response = await self._respond(exchange)
            return await self._send(exchange, response)
        except (ConnectionGoneError, ConnectionError):
            response = None
            return web.Response()
        finally:
            self._log(exchange, response, started)

    def _log(self, exchange: Exchange, response: Response | None, started: float) -> None:
        target, authorization = exchange.target, exchange.authorization
        self._state.calls.append(
            Call(
                operation=target.operation,
                key=target.key,
                part=target.part,
                status=response.status if response else None,
                code=response.code if response else "ConnectionGone",
                size=exchange.payload_bytes,
                at=started,
                seconds=time.monotonic() - started,
                access_key_id=authorization.access_key_id if authorization else "",
                request_id=exchange.request_id,
                fault="" if exchange.fault is NO_FAULT else exchange.fault.kind,
            )
        )

    async def _respond(self, exchange: Exchange) -> Response:
        try:
            response = await self._perform(exchange)
        except ApiError as error:
            response = error_response(exchange, error)
        response = await exchange.fault.on_response(exchange, response)
        # The rest of the unread body would be taken for the next request. S3 closes the connection too.
        return replace(response, close=True) if exchange.has_unread_body() else response

    async def _perform(self, exchange: Exchange) -> Response:
        raw = exchange.raw
        bucket, key = split(raw.headers.get("host", ""), raw.path, exchange.settings.endpoint_host)
        if raw.method == "POST" and not bucket:
            return await self._perform_sts(exchange)
        query = query_values(raw.query) if raw.query else {}
        exchange.target = Target("Unknown", bucket, key, query)
        operation = s3_operation(raw.method, bucket, key, query, raw.headers)
        exchange.target = Target(operation, bucket, key, query)
        exchange.fault = self._faults.match(exchange.target)
        await exchange.fault.on_request(exchange)
        return await self._perform_s3(exchange)

    async def _perform_sts(self, exchange: Exchange) -> Response:
        exchange.target = Target("Unknown", "", "", {}, service="sts")
        body, parameters = await sts.read_parameters(exchange)
        exchange.target = Target(parameters.get("Action", "Unknown"), "", "", {}, service="sts")
        exchange.fault = self._faults.match(exchange.target)
        await exchange.fault.on_request(exchange)
        return sts.perform(exchange, body, parameters)

    async def _perform_s3(self, exchange: Exchange) -> Response:
        target = exchange.target
        bucket = authenticate(exchange)
        allow(exchange, target.action)
        if target.operation == "ListBuckets":
            return listing.list_buckets(exchange)
        carry_out = _OPERATIONS.get(target.operation)
        if carry_out is None or bucket is None:
            raise not_implemented()
        return await carry_out(exchange, bucket)

    async def _send(self, exchange: Exchange, response: Response) -> web.StreamResponse:
        headers = self._headers(exchange, response)
        source, request = response.source, exchange.request
        if request.method == "HEAD":
            headers["Content-Length"] = str(response.length)
            stream: web.StreamResponse = web.Response(status=response.status, headers=headers)
        elif source is None and exchange.fault is NO_FAULT:
            stream = web.Response(status=response.status, headers=headers, body=response.body)
        else:
            headers["Content-Length"] = str(response.length)
            stream = web.StreamResponse(status=response.status, headers=headers)
        if response.close:
            stream.force_close()
        if not isinstance(stream, web.Response):
            await stream.prepare(request)
            await self._stream(exchange, response, stream)
        return stream

    def _headers(self, exchange: Exchange, response: Response) -> CIMultiDict[str]:
        return CIMultiDict({
            "x-amz-id-2": f"host+{exchange.request_id}",
            "x-amz-request-id": exchange.request_id,
            "x-amzn-RequestId": exchange.request_id,
            "Date": formatdate(self._state.now(), usegmt=True),
            "Server": "AmazonS3",
            **response.headers,
        })  # fmt: skip

    async def _stream(self, exchange: Exchange, response: Response, stream: web.StreamResponse) -> None:
        half = response.length // 2
        if response.source is None:
            await stream.write(response.body[:half])
            await exchange.fault.mid_response(exchange)
            await stream.write(response.body[half:])
            return
        stored, start, length = response.source
        await self._copy(stored, start, half, stream)
        if length:
            await exchange.fault.mid_response(exchange)
        await self._copy(stored, start + half, length - half, stream)

    @staticmethod
    async def _copy(stored: StoredObject, start: int, length: int, stream: web.StreamResponse) -> None:
        for segment, offset, size in stored.chunks(start, length):
            read = (
                segment.read(offset, size)
                if size <= _MAX_INLINE_READ_BYTES
                else await asyncio.to_thread(segment.read, offset, size)
            )
            await stream.write(read)
