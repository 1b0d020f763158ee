"""The control API: read and change the account from another process, under a path that no bucket can have.

GET ``calls`` (``?operation=``), DELETE ``calls``, GET ``objects`` (``?key=`` for one, ``?sha256=1`` for the digests),
GET ``body?key=``, GET ``uploads``, GET, POST (one rule, or a list) and DELETE ``faults``, POST ``settings``, POST
``revoke`` (``{"code": ...}``). Its requests are not signed, because the account listens on loopback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from crosshaul.partner.errors import ApiError
from crosshaul.partner.fault_rules import FaultScript, Rule
from crosshaul.partner.raw_request import query_values
from crosshaul.partner.state import AccountState
from crosshaul.partner.store import StoredObject

PREFIX = "/_partner/"
Json = dict[str, Any] | list[dict[str, Any]]


def describe(stored: StoredObject, sha256: str | None = None) -> dict[str, Any]:
    """Describe an object as JSON; ``sha256`` is in hex, or None when it was not computed."""
    checksum = stored.checksum
    return {
        "key": stored.key,
        "size": stored.size,
        "etag": stored.etag,
        "writes": stored.writes,
        "modified": stored.modified,
        "metadata": stored.metadata,
        "tags": stored.tags,
        "acl": stored.attributes.acl,
        "storage_class": stored.attributes.storage_class,
        "headers": stored.attributes.headers(),
        "checksum": {checksum.algorithm.name: checksum.value, "type": checksum.type} if checksum else None,
        "parts": len(stored.segments),
        "sha256": sha256,
    }


class Control:
    """Serve the requests under PREFIX, without signatures."""

    def __init__(self, state: AccountState, faults: FaultScript) -> None:
        self._state = state
        self._faults = faults
        self._handlers: dict[
            tuple[str, str], Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[Json | web.StreamResponse]]
        ] = {
            ("GET", "calls"): self._calls,
            ("DELETE", "calls"): self._clear_calls,
            ("GET", "objects"): self._objects,
            ("GET", "body"): self._body,
            ("GET", "uploads"): self._uploads,
            ("GET", "secrets"): self._secrets,
            ("GET", "faults"): self._rules,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "settings"): self._settings,
            ("POST", "revoke"): self._revoke,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request; a failed one gets 400 with the reason."""
        path, _, query = request.raw_path.partition("?")
        handler = self._handlers.get((request.method, path.removeprefix(PREFIX)))
        if handler is None:
            return web.json_response({"error": "no such control request"}, status=HTTPStatus.NOT_FOUND)
        try:
            result = await handler(request, query_values(query))
        except (ValueError, TypeError, KeyError, ApiError) as error:
            return web.json_response({"error": str(error)}, status=HTTPStatus.BAD_REQUEST)
        return result if isinstance(result, web.StreamResponse) else web.json_response(result)

    @property
    def _stored(self) -> dict[str, StoredObject]:
        return self._state.buckets[self._state.settings.bucket].objects

    async def _calls(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del request
        wanted = query.get("operation")
        return [call.to_json() for call in self._state.calls if wanted in {None, call.operation}]

    async def _clear_calls(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del request, query
        self._state.calls.clear()
        return {}

    async def _objects(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del request
        matches = [self._stored[query["key"]]] if "key" in query else list(self._stored.values())
        digests = query.get("sha256") == "1"
        return [describe(stored, await asyncio.to_thread(stored.sha256) if digests else None) for stored in matches]

    async def _body(self, request: web.BaseRequest, query: Mapping[str, str]) -> web.StreamResponse:
        stored = self._stored[query["key"]]
        response = web.StreamResponse(headers={"Content-Length": str(stored.size)})
        await response.prepare(request)
        for segment, start, length in stored.chunks(0, stored.size):
            await response.write(await asyncio.to_thread(segment.read, start, length))
        return response

    async def _uploads(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del request, query
        uploads = self._state.buckets[self._state.settings.bucket].uploads.values()
        return [{"id": upload.id, "key": upload.key, "parts": sorted(upload.parts)} for upload in uploads]

    async def _secrets(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        """List every secret, for tests that search outputs for them."""
        del request, query
        return {"secrets": self._state.secrets()}

    async def _rules(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del request, query
        rules = self._faults.rules
        return [{"operation": rule.operation, "kind": rule.action.kind, "hits": rule.hits} for rule in rules]

    async def _add_faults(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del query
        given = json.loads(await request.text())
        for rule in [Rule.from_json(values) for values in (given if isinstance(given, list) else [given])]:
            self._faults.add(rule)
        return {}

    async def _clear_faults(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del request, query
        self._faults.clear()
        return {}

    async def _settings(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del query
        self._state.change(json.loads(await request.text()))
        return {}

    async def _revoke(self, request: web.BaseRequest, query: Mapping[str, str]) -> Json:
        del query
        given = json.loads(await request.text() or "{}")
        self._state.credentials.revoke(given.get("code", "ExpiredToken"))
        return {}
