"""Deliberate bugs of connections and credentials: trust, routes to hosts, and messages to people."""

from __future__ import annotations

from bugs import Bug, bug

_MIDDLE = "tests/lies/test_middle.py"
_TLS = "tests/unit/aws/test_http1_tls.py"
_PROVIDERS = "tests/unit/aws/test_credential_providers.py"
_ENDPOINTS = "tests/unit/aws/test_endpoints.py"

BUGS: tuple[Bug, ...] = (
    bug(
        "a certificate for any other name is taken",
        "aws/net/trust_store.py",
        "context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True",
        "context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED",
        _TLS,
    ),
    bug(
        "a context that checks no name is used",
        "aws/http1/tls.py",
        "if not context.check_hostname or context.verify_mode is not ssl.CERT_REQUIRED:",
        "if context is None:",
        _TLS,
    ),
    bug(
        "the SDK's clients use an HTTP session of its own, which checks no name",
        "aws/sdk_session.py",
        "        config.http_session_cls = partial(SdkHttpSession, tls=self._tls, judge=judge)\n",
        "        assert judge\n",
        _MIDDLE,
    ),
    bug(
        "a machine's credentials are asked for by a proxy",
        "aws/sdk_transport.py",
        "async with _MetadataHttpSession(tls=self._tls, judge=accept_any, direct=True, timeout=self._timeout)",
        "async with _MetadataHttpSession(tls=self._tls, judge=accept_any, timeout=self._timeout)",
        _MIDDLE,
    ),
    bug(
        "an empty AWS_CA_BUNDLE is a bundle",
        "aws/net/trust_store.py",
        'if path := environ.get("AWS_CA_BUNDLE"):',
        'if (path := environ.get("AWS_CA_BUNDLE")) is not None:',
        _MIDDLE,
    ),
    bug(
        "SSL_CERT_FILE is ignored",
        "aws/net/trust_store.py",
        '        _load(context, Bundle("SSL_CERT_FILE", file))\n',
        "        pass\n",
        _MIDDLE,
    ),
    bug(
        "STS does not trust the destination's own bundle",
        "service/bucket_access.py",
        "Refresher(base_credentials.trusting(destination.tls_ca_bundle), destination, clock, observer)",
        "Refresher(base_credentials, destination, clock, observer)",
        _MIDDLE,
    ),
    bug(
        "the calls about uploads go past the proxy that their bodies take",
        "aws/sdk_transport.py",
        "proxy=None if self._direct else _proxy_for(origin),",
        "proxy=None,",
        _MIDDLE,
    ),
    bug(
        "an empty lower-case variable does not switch its upper-case twin off",
        "aws/net/proxy_rule.py",
        '        if name.endswith("_proxy"):\n',
        '        if name.endswith("_proxy") and value:\n',
        _TLS,
    ),
    bug(
        "NO_PROXY knows no networks",
        "aws/net/proxy_rule.py",
        "return ipaddress.ip_address(origin.host) in ipaddress.ip_network(entry, strict=False)",
        "return ipaddress.ip_address(origin.host) == ipaddress.ip_address(entry)",
        _TLS,
    ),
    bug(
        "a proxy that refuses and keeps the connection is waited for",
        "aws/http1/proxy.py",
        "        end = _END_OF_HEAD.search(data)\n",
        "        end = _END_OF_HEAD.search(data, max(0, len(data) - 4))\n",
        _TLS,
    ),
    bug(
        "a proxy of another kind is each file's fault",
        "aws/proxy_and_ca_check.py",
        "            proxy_for(origin, environ)\n",
        "            pass\n",
        "tests/system/test_environment.py",
    ),
    bug(
        "a provider's own exception ends check in a traceback",
        "aws/credential_providers.py",
        "                raise ProviderError(provider.METHOD, error) from error\n",
        "                raise\n",
        _PROVIDERS,
    ),
    bug(
        "a daemon waits at a terminal for an MFA code",
        "aws/credential_providers.py",
        "        provider._prompter = _refuse_prompt\n",
        "        pass\n",
        _PROVIDERS,
    ),
    bug(
        "a program that hangs is left behind at each try",
        "aws/credential_providers.py",
        "                self._process.kill()\n",
        "                pass\n",
        _PROVIDERS,
    ),
    bug(
        "a short session is refused by the SDK, whatever the store takes",
        "aws/base_credentials.py",
        "parameter_validation=self._config.sts_endpoint_url is None",
        "parameter_validation=True",
        _ENDPOINTS,
    ),
    bug(
        "the chain's own calls to STS go to AWS, whatever is configured",
        "aws/sdk_session.py",
        "            endpoint_url = endpoint_url or self._sts_endpoint_url\n",
        "            pass\n",
        _PROVIDERS,
    ),
    bug(
        "a variable sends credentials and files in the clear",
        "config/aws_endpoints.py",
        'if parts.scheme == "http" and not is_loopback(parts.hostname or ""):',
        "if parts is None:",
        _ENDPOINTS,
    ),
    bug(
        "a variable moves calls elsewhere without a word",
        "config/aws_endpoints.py",
        "    config.note_environment(notes)\n",
        "",
        _ENDPOINTS,
    ),
)
