"""Control client of one bucket: its location, and every S3 call without a body, by aiobotocore.

aioboto3's own S3 client would load boto3's transfer manager, which is not used here and delays each start by 70 ms.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from botocore.credentials import ReadOnlyCredentials

from crosshaul.aws import error_map, sdk_models, tls_contexts
from crosshaul.aws.error_codes import CHECK_PROXY
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.sdk_session import SdkSession
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis, Fault, FaultKind

_DEADLINE_SECONDS = 30.0
_COMPLETE_DEADLINE_SECONDS = 600.0
"""AWS: "processing of a CompleteMultipartUpload request could take several minutes"."""


@dataclass(frozen=True, slots=True)
class Location:
    """Address of a bucket, for request lines and Host headers."""

    scheme: str
    host: str
    port: int
    authority: str
    """The Host header: with the port unless it is the scheme's default."""
    prefix: str
    """Path before the key: ``/`` in virtual-hosted style, ``/BUCKET/`` in path style."""


def location_of(url: str, key: str) -> Location:
    """Return the location in a URL that botocore's endpoint rules made for ``key``."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    port = parts.port or default
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    authority = bracketed if port == default else f"{bracketed}:{port}"
    return Location(parts.scheme, host, port, authority, parts.path.removesuffix(key))


class _Credentials(AioCredentials):  # type: ignore[misc] # aiobotocore ships no types
    """The refresher's credentials, loaded at each request: a client never uses an expired session."""

    def __init__(self, refresher: Refresher) -> None:
        super().__init__("", "", method="crosshaul")
        self._refresher = refresher

    async def load_credentials(self) -> _Credentials:
        return self

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        now = await self._refresher.credentials()
        return ReadOnlyCredentials(now.access_key_id, now.secret_access_key, now.session_token)


def _disable_region_redirect(context: dict[str, Any], **_: object) -> None:
    """Disable botocore's redirect to the bucket's region: uploads don't follow it, and a wrong `region` is an error."""
    context.setdefault("s3_redirect", {})["redirected"] = True


class S3ControlClient:
    """Client of one destination's bucket. Every method raises Fault and nothing else."""

    def __init__(self, destination: Destination, refresher: Refresher, profile: str | None = None) -> None:
        self._destination = destination
        self._refresher = refresher
        self._profile = profile
        self._tls = tls_contexts.ContextLoader(partial(tls_contexts.for_bucket, destination, profile))
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None

    async def close(self) -> None:
        """Close the client's connections."""
        await self._stack.aclose()

    async def location(self) -> Location:
        """Return the bucket's location by botocore's endpoint rules (host, style, partition, dual-stack, FIPS)."""
        client = await self._open()
        key = "crosshaul"
        url = await client.generate_presigned_url("put_object", {"Bucket": self._destination.bucket, "Key": key})
        return location_of(url, key)

    async def call(
        self, operation: str, key: str | None, parameters: dict[str, Any], deadline: float = _DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """Make one S3 call by botocore's method name, such as ``head_object``; ``key`` None: a call on the bucket."""
        parameters = {"Bucket": self._destination.bucket, **parameters}
        if self._destination.expected_bucket_owner:
            parameters["ExpectedBucketOwner"] = self._destination.expected_bucket_owner
        if key is not None:
            parameters["Key"] = key
        return await self.request(operation, parameters, deadline)

    async def request(
        self, operation: str, parameters: dict[str, Any], deadline: float = _DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """Make one S3 call with exactly these parameters."""
        name = "".join(word.capitalize() for word in operation.split("_"))
        client = await self._open()
        try:
            method = getattr(client, operation)
            # Not wait_for, which can swallow a cancellation (python/cpython issue 86296, until 3.12).
            async with asyncio.timeout(deadline):
                response: dict[str, Any] = await method(**parameters)
        except error_map.FOREIGN as error:
            raise error_map.from_botocore(name, error) from error
        except TimeoutError as error:
            text = f"no response from S3 within {deadline:.0f} s"
            raise Fault(Diagnosis(FaultKind.NETWORK, "TotalTimeout", text, name, ambiguous=True)) from error
        return response

    async def reads_iam(self) -> bool:
        """Return whether this session may read the account's IAM; False for stores without IAM."""
        if self._destination.endpoint_url is not None:
            return False
        try:
            session = await asyncio.to_thread(self._session)
            async with (
                asyncio.timeout(_DEADLINE_SECONDS),
                session.create_client("iam", region_name=self._destination.region) as client,
            ):
                await client.list_roles(MaxItems=1)
        except (*error_map.FOREIGN, TimeoutError):
            return False
        return True

    async def get_range(self, key: str, first: int, last: int) -> bytes:
        """Return the bytes ``first`` to ``last``, both included; fewer where the object ends before."""
        response = await self.call("get_object", key, {"Range": f"bytes={first}-{last}"})
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                body: bytes = await response["Body"].read()
        except error_map.FOREIGN as error:
            raise error_map.from_botocore("GetObject", error) from error
        except TimeoutError as error:
            diagnosis = Diagnosis(FaultKind.NETWORK, "ReadTimeout", "the object's body did not arrive", "GetObject")
            raise Fault(diagnosis) from error
        if "ContentRange" not in response or len(body) > last - first + 1:
            text = "the response is not the requested range (is there a proxy?)"
            raise Fault(Diagnosis(FaultKind.NETWORK, "UnexpectedResponse", text, "GetObject", 200, advice=CHECK_PROXY))
        return body

    async def complete(self, key: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """CompleteMultipartUpload, which may take minutes."""
        return await self.call("complete_multipart_upload", key, parameters, _COMPLETE_DEADLINE_SECONDS)

    async def _open(self) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
        async with self._opening:
            if self._client is None:
                try:
                    session = await asyncio.to_thread(self._session)
                    self._client = await self._stack.enter_async_context(session.create_client("s3", **self._options()))
                except error_map.FOREIGN as error:
                    raise error_map.from_botocore("S3Client", error) from error
                self._client.meta.events.register_last("before-parameter-build.s3", _disable_region_redirect)
        return self._client

    def _session(self) -> SdkSession:
        session = sdk_models.open_session(self._profile, "s3", self._tls)
        session.register_component("credential_provider", _Credentials(self._refresher))
        return session

    def _options(self) -> dict[str, Any]:
        destination = self._destination
        style = destination.addressing_style
        if style == "auto":
            # Compatible stores rarely have a DNS name per bucket, and a wildcard certificate covers no dots.
            # Never botocore's "auto", which presigns for the global endpoint, which redirects.
            style = "path" if destination.endpoint_url or "." in destination.bucket else "virtual"
        config = AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},
            max_pool_connections=64,
            read_timeout=_COMPLETE_DEADLINE_SECONDS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return {"region_name": destination.region, "endpoint_url": destination.endpoint_url, "config": config}
