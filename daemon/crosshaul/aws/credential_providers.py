"""Adapt botocore's credential providers for Account A, and map their failures to faults.

botocore's providers raise many types of exceptions for faulty files, programs and servers. Each becomes one line: the
provider, the cause, and what to do.
"""
# ruff: noqa: SLF001 - botocore has no other way to exchange a provider's parts

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiobotocore.credentials import (
    AioAssumeRoleProvider,
    AioAssumeRoleWithWebIdentityProvider,
    AioContainerProvider,
    AioCredentialResolver,
    AioInstanceMetadataProvider,
    AioProcessProvider,
)
from aiobotocore.utils import AioContainerMetadataFetcher

from crosshaul.aws import error_map
from crosshaul.aws.sdk_transport import MetadataSession
from crosshaul.aws.sigv4 import Credentials
from crosshaul.errors import Diagnosis, Fault, FaultKind

for _name in ("aiobotocore.credentials", "aiobotocore.tokens"):
    # They log a traceback for each failed refresh; here the caller logs the failure once.
    logging.getLogger(_name).setLevel(logging.ERROR)

_SOURCES = {
    "env": (
        "the environment",
        (
            "correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (a file made by echo ends in a "
            "line break)"
        ),
    ),
    "assume-role": (
        "the role of the AWS profile",
        "correct `role_arn`, `source_profile` or `credential_source` in the profile, or allow it to assume the role",
    ),
    "assume-role-with-web-identity": (
        "the web identity",
        (
            "check AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN and the role's trust policy (in EKS: the service "
            "account's annotation)"
        ),
    ),
    "sso": ("SSO", "sign in again (aws sso login)"),
    "custom-process": (
        "`credential_process`",
        (
            "run the program of `credential_process` as this user: it must exit with code 0 and print JSON with "
            "Version 1, AccessKeyId, SecretAccessKey and an Expiration in the future"
        ),
    ),
    "container-role": (
        "the container's credentials",
        (
            "check AWS_CONTAINER_CREDENTIALS_FULL_URI (or _RELATIVE_URI) and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, "
            "set by ECS and EKS Pod Identity"
        ),
    ),
    "iam-role": (
        "the machine's metadata service",
        "check that the machine has a role and its metadata service answers",
    ),
}
_OTHER_SOURCE = ("the AWS files", "correct the keys in AWS_SHARED_CREDENTIALS_FILE or AWS_CONFIG_FILE")
_SPECIFIC_CODES = frozenset({"TLSError", "ProxyError", "ProfileNotFound"})
"""Codes with better advice than the provider's."""
_NO_BLANKS = re.compile(r"[\x21-\x7e]+")
_SECRET = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
"""Other stores accept phrases with blanks."""


class ProviderError(Exception):
    """A credential provider failed to load; ``cause`` is the error that it raised."""

    def __init__(self, method: str, cause: Exception) -> None:
        super().__init__(method)
        self.method = method
        self.cause = cause


class ProviderResolver(AioCredentialResolver):  # type: ignore[misc] # aiobotocore ships no types
    """Loads credentials from the first provider that has any, and names the one that fails."""

    async def load_credentials(self) -> Any:  # noqa: ANN401 - botocore's
        """Return the credentials of the first provider that has any, or None. Raises ProviderError."""
        for provider in self.providers:
            try:
                credentials = await provider.load()
            except Exception as error:
                raise ProviderError(provider.METHOD, error) from error
            if credentials is not None:
                return credentials
        return None


def adapted(resolver: AioCredentialResolver, metadata: Callable[[float], MetadataSession]) -> ProviderResolver:
    """Return a resolver with the same providers, adapted: our HTTP client, file reads in a thread, no prompts."""
    return ProviderResolver([_adapted(provider, metadata) for provider in resolver.providers])


def _adapted(provider: Any, metadata: Callable[[float], MetadataSession]) -> Any:  # noqa: ANN401 - botocore's
    if isinstance(provider, AioProcessProvider):
        provider._popen = _Program.start
    elif isinstance(provider, AioAssumeRoleWithWebIdentityProvider):
        provider._token_loader_cls = _token_loader
    elif isinstance(provider, AioContainerProvider):
        session = metadata(AioContainerMetadataFetcher.TIMEOUT_SECONDS)
        provider._fetcher = AioContainerMetadataFetcher(session=session)
        provider._build_headers = lambda: _container_headers(provider._environ)
    elif isinstance(provider, AioInstanceMetadataProvider):
        fetcher = provider._role_fetcher
        fetcher._session = metadata(fetcher._timeout)
    elif isinstance(provider, AioAssumeRoleProvider):
        provider._prompter = _refuse_prompt
        provider._profile_provider_builder = _ProviderBuilder(provider._profile_provider_builder, metadata)
    return provider


class _ProviderBuilder:
    """Builds the providers of a ``source_profile``."""

    def __init__(self, builder: Any, metadata: Callable[[float], MetadataSession]) -> None:  # noqa: ANN401
        self._builder = builder
        self._metadata = metadata

    def providers(self, **profile: Any) -> list[Any]:  # noqa: ANN401 - botocore's
        """Return botocore's providers, adapted."""
        return [_adapted(provider, self._metadata) for provider in self._builder.providers(**profile)]


class _Program:
    """A ``credential_process``, without standard input, killed when its caller is cancelled."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *command: str, **options: Any) -> _Program:  # noqa: ANN401 - Popen's
        """Start the program."""
        return cls(await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, **options))

    @property
    def returncode(self) -> int | None:
        """Exit code; None while the program runs."""
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Return its standard output and standard error."""
        try:
            return await self._process.communicate()
        finally:
            if self._process.returncode is None:
                self._process.kill()


def _token_loader(path: str) -> Callable[[], str]:
    return lambda: _read_token(path)


def _read_token(path: str) -> str:
    """Return the token in a file, without the final line break that editors and ``echo`` write."""
    token = Path(path).expanduser().read_text("utf-8").strip()
    if not _NO_BLANKS.fullmatch(token):
        raise _TokenError(f"{path} is empty or contains blanks or line breaks, so it holds no token")
    return token


class _TokenError(Exception):
    """A token file or variable holds no valid token; the text quotes nothing of its content."""


def _container_headers(environ: Any) -> dict[str, str] | None:  # noqa: ANN401 - os.environ or a dictionary
    if path := environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        return {"Authorization": _read_token(path)}
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "").strip()
    if not token:
        return None
    if re.search(r"[\r\n]", token):
        raise _TokenError("AWS_CONTAINER_AUTHORIZATION_TOKEN contains a line break")
    return {"Authorization": token}


def _refuse_prompt(_prompt: str) -> str:
    raise _TokenError("the profile has `mfa_serial`, and a daemon can't ask for an MFA code")


def checked(frozen: Any, method: str) -> Credentials:  # noqa: ANN401 - botocore's ReadOnlyCredentials
    """Return botocore's credentials as ours. Raises Fault for values that can't be sent in a header."""
    if (wrong := flaw(frozen.access_key, frozen.secret_key, frozen.token)) is not None:
        source, advice = _SOURCES.get(method, _OTHER_SOURCE)
        raise _fault(f"{source}: {wrong}", advice)
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def flaw(access_key_id: object, secret_access_key: object, session_token: object) -> str | None:
    """Return why a request can't be signed with these values, or None. The text quotes nothing of them."""
    parts = [("access key id", access_key_id, _NO_BLANKS), ("secret access key", secret_access_key, _SECRET)]
    parts += [("session token", session_token, _NO_BLANKS)] if session_token else []
    for name, value, form in parts:
        if not isinstance(value, str):  # JSON has null and numbers too
            return f"the {name} is not a string"
        if not form.fullmatch(value):
            return f"the {name} is empty or contains a blank, a line break or another invalid character"
    return None


def fault_of(method: str, error: Exception) -> Fault:
    """Return the fault of the provider ``method`` (botocore's name for it), which raised ``error``."""
    source, advice = _SOURCES.get(method, _OTHER_SOURCE)
    if isinstance(error, error_map.FOREIGN):
        diagnosis = error_map.from_botocore("Credentials", error).diagnosis
        keep = diagnosis.kind is FaultKind.NETWORK or diagnosis.code in _SPECIFIC_CODES
        advice = diagnosis.advice if keep else _for_account_a(advice)
        return Fault(replace(diagnosis, message=f"{source}: {diagnosis.message}", advice=advice))
    return _fault(f"{source}: {_why(error)}", advice)


def _why(error: Exception) -> str:
    """Describe an error. Its own text is used only where it can't contain what the provider read."""
    if isinstance(error, OSError):
        return f"{error.filename} can't be read or executed ({error.strerror})" if error.filename else str(error)
    if isinstance(error, _TokenError):
        return str(error)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | AttributeError | TypeError):
        return "the output is not the JSON that AWS documents"
    if isinstance(error, RuntimeError):  # botocore's own for this
        return "the credentials have already expired"
    if isinstance(error, KeyError):
        return f"the output lacks {error}"
    if isinstance(error, ValueError):
        return "an address, a time or a number is invalid"
    return f"it failed ({type(error).__name__})"


def _fault(text: str, advice: str) -> Fault:
    message = error_map.one_line(text)
    return Fault(
        Diagnosis(FaultKind.DESTINATION, "CredentialRetrieval", message, "Credentials", advice=_for_account_a(advice))
    )


def _for_account_a(advice: str) -> str:
    return f"Account A: {advice}."
