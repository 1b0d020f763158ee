"""Create botocore sessions that share one loader: the service models are megabytes of JSON, read once."""

from __future__ import annotations

import os
import threading

from botocore.loaders import create_loader

from crosshaul.aws.sdk_session import SdkSession
from crosshaul.aws.tls_contexts import ContextLoader

_LOADER = create_loader(os.environ.get("AWS_DATA_PATH"))
_LOADING = threading.Lock()
"""Two threads that load at once would keep the models twice."""
_SEARCH_PATH_COUNT = len(_LOADER.search_paths)
_SERVICES = frozenset({"s3", "sts", "iam", "portal.sso", "oidc", "signin"})
"""Services that we or botocore's credential providers call, by endpoint name; the data of all services takes 7 MiB."""


_VARIABLE_PREFIXES = ("AWS_", "BOTO_")


def open_session(
    profile: str | None, service: str, tls: ContextLoader, sts_endpoint_url: str | None = None
) -> SdkSession:
    """Return a session with the models of ``service`` loaded; blocks for tenths of a second the first time.

    Raises botocore's errors for a profile that doesn't exist and a file that can't be read.
    """
    _drop_empty_variables()
    session = SdkSession(tls, sts_endpoint_url)
    if profile is not None:
        session.set_config_variable("profile", profile)
    session.get_scoped_config()
    session.register_component("data_loader", _LOADER)
    with _LOADING:
        del _LOADER.search_paths[_SEARCH_PATH_COUNT:]  # each of boto3's sessions adds its own resources to them
        for data in ("endpoints", "partitions", "sdk-default-configuration"):
            _LOADER.load_data(data)
        for partition in _LOADER.load_data("endpoints")["partitions"]:
            partition["services"] = {name: of for name, of in partition["services"].items() if name in _SERVICES}
        for kind in ("service-2", "endpoint-rule-set-1"):
            _LOADER.load_service_model(service, kind)
    return session


def _drop_empty_variables() -> None:
    """Unset empty variables, as compose files and charts write them: botocore takes an empty one for a value."""
    for name in [name for name, value in os.environ.items() if not value and name.startswith(_VARIABLE_PREFIXES)]:
        del os.environ[name]
