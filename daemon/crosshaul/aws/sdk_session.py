"""botocore session whose clients, including those of credential providers, use our own HTTP client."""

from __future__ import annotations

from functools import partial
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from crosshaul.aws import credential_providers
from crosshaul.aws.sdk_transport import MetadataSession, SdkHttpSession, refuse_unless_json, refuse_unless_xml
from crosshaul.aws.tls_contexts import ContextLoader

_XML = frozenset({"s3", "sts", "iam"})
"""Services with XML; the others that credential providers call (SSO) use JSON."""
_FORCED = {
    "defaults_mode": "legacy",  # else botocore calls the metadata service with its own HTTP client
    "ignore_configured_endpoint_urls": True,  # endpoints come from our configuration, see config/aws_endpoints.py
}
_DEFAULTS = {
    "connect_timeout": 10,
    "read_timeout": 15,
    "retries": {"total_max_attempts": 1, "mode": "legacy"},  # the callers have back-off of their own
}


class SdkSession(AioSession):  # type: ignore[misc] # aiobotocore ships no types
    """botocore session that never creates a client with botocore's own HTTP session."""

    def __init__(self, tls: ContextLoader, sts_endpoint_url: str | None = None) -> None:
        """``sts_endpoint_url`` applies to every STS client, including the credential providers'; None: AWS."""
        super().__init__()
        self._tls = tls
        self._sts_endpoint_url = sts_endpoint_url

    async def _create_client(
        self,
        service_name: str,
        *arguments: Any,  # noqa: ANN401 - botocore's
        endpoint_url: str | None = None,
        config: Any = None,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        if service_name == "sts":
            endpoint_url = endpoint_url or self._sts_endpoint_url
        config = self._over_our_http(service_name, config)
        client = await super()._create_client(
            service_name, *arguments, endpoint_url=endpoint_url, config=config, **options
        )
        if not isinstance(client._endpoint.http_session, SdkHttpSession):  # noqa: SLF001 - so that no upgrade undoes it
            raise TypeError("the SDK made a client that does not use our HTTP session")
        return client

    def _over_our_http(self, service: str, given: Any) -> AioConfig:  # noqa: ANN401
        config = AioConfig(**_DEFAULTS)
        if given is not None:
            config = config.merge(given)
        config = config.merge(AioConfig(**_FORCED))
        # After the last merge, which would drop it.
        judge = refuse_unless_xml if service in _XML else refuse_unless_json
        config.http_session_cls = partial(SdkHttpSession, tls=self._tls, judge=judge)
        return config

    def _create_credential_resolver(self) -> credential_providers.ProviderResolver:
        metadata = partial(MetadataSession, self._tls)
        return credential_providers.adapted(super()._create_credential_resolver(), metadata)
