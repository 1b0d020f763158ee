"""botocore's sessions. Its models of the services are megabytes of JSON: read once, in a thread, and kept for all."""

from __future__ import annotations

import os
import threading

from botocore.loaders import create_loader

from crosshaul.aws.sdk_session import SdkSession
from crosshaul.aws.tls_contexts import ContextLoader

_LOADER = create_loader(os.environ.get("AWS_DATA_PATH"))
_ONE_AT_A_TIME = threading.Lock()
"""Or what two threads read at once would be in memory twice."""
_PLACES = len(_LOADER.search_paths)
_ASKED = frozenset({"s3", "sts", "iam", "portal.sso", "oidc", "signin"})
"""The services, by the names of their endpoints, that we or botocore's credential providers ask; all are 7 MiB."""


_OURS = ("AWS_", "BOTO_")


def session(profile: str | None, service: str, tls: ContextLoader, sts_endpoint_url: str | None = None) -> SdkSession:
    """A session with what clients of ``service`` need in memory; blocks for tenths of a second the first time.

    Raises botocore's errors for a profile that doesn't exist and a file that can't be read.
    """
    _drop_empty_variables()
    made = SdkSession(tls, sts_endpoint_url)
    if profile is not None:
        made.set_config_variable("profile", profile)
    made.get_scoped_config()
    made.register_component("data_loader", _LOADER)
    with _ONE_AT_A_TIME:
        del _LOADER.search_paths[_PLACES:]  # each of boto3's sessions adds its own resources to them
        for data in ("endpoints", "partitions", "sdk-default-configuration"):
            _LOADER.load_data(data)
        for partition in _LOADER.load_data("endpoints")["partitions"]:
            partition["services"] = {name: of for name, of in partition["services"].items() if name in _ASKED}
        for kind in ("service-2", "endpoint-rule-set-1"):
            _LOADER.load_service_model(service, kind)
    return made


def _drop_empty_variables() -> None:
    """An empty variable, as compose files and charts make them, is an unset one; botocore takes it for a value."""
    for name in [name for name, value in os.environ.items() if not value and name.startswith(_OURS)]:
        del os.environ[name]
