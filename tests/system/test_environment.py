"""Environment variables that affect the command: bad proxies, odd credentials, endpoints."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

VERBS = ("validate", "check", "push", "run")


def test_a_proxy_that_can_t_be_used_is_reported_at_the_start(strict, site_for):
    """An unusable proxy gives one line that names the variable without its value, code 2, and no failed file."""
    site = site_for(strict)
    site.add("file")
    site.environment |= {"HTTP_PROXY": "socks5://user:s3cr3t@127.0.0.1:1"}
    for verb in VERBS:
        done = site.crosshaul(verb)
        assert done.returncode == 2, done
        [line] = [each for each in done.stderr.splitlines() if each]
        assert "HTTP_PROXY: write it as http://" in line
        assert "s3cr3t" not in line
    assert strict.objects() == {}


def test_a_bad_proxy_that_nothing_would_ask_stops_nothing(strict, site_for):
    """An unusable proxy that no endpoint would use has no effect."""
    site = site_for(strict)
    site.add("file", b"x")
    site.environment |= {"HTTP_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": "127.0.0.0/8", "HTTPS_PROXY": "socks5://h"}
    site.push()


def test_a_bundle_that_can_t_be_used_is_reported_at_the_start(strict, site_for):
    """An unusable bundle gives one line and code 2, wherever it is configured."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        site = site_for(strict)
        site.destination["endpoint_url"] = "https://store.example"
        site.write()
        site.environment |= {"REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": ""} | {name: "/nonexistent.pem"}
        done = site.crosshaul("validate")
        assert done.returncode == 2, done
        assert f"{name}: /nonexistent.pem is not a readable file" in done.stderr


PROVIDERS = {
    "process": ("[default]\ncredential_process = /nonexistent/tool\n", {}, "/nonexistent/tool"),
    "web identity": (
        "", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token", "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/p"},
        "/nonexistent/token",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PROVIDERS)
def test_credentials_that_can_t_be_had_are_reported_in_a_line(strict, site_for, case):
    """Missing credentials are reported by check and push without a traceback or a library's log."""
    profile, variables, word = PROVIDERS[case]
    site = site_for(strict)
    site.add("file")
    (site.home / "aws").write_text(profile)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        site.environment.pop(name, None)
    site.environment |= {"AWS_CONFIG_FILE": str(site.home / "aws"), **variables}
    checked, pushed = site.crosshaul("check"), site.crosshaul("push")
    assert (checked.returncode, pushed.returncode) == (1, 1)
    assert "base credentials (Account A)" in checked.stdout
    assert checked.stderr == ""
    said = " ".join(checked.stdout.split())
    for text in (said, pushed.stderr):
        assert word in text
        assert "Traceback" not in text


def test_an_endpoint_of_the_environment_is_announced(strict, site_for):
    """A store from AWS_ENDPOINT_URL is used in path style; validate, check, push and run print it."""
    site = site_for(strict)
    site.add("file", b"x")
    port = urlsplit(site.destination.pop("endpoint_url")).port
    site.write()
    site.environment["AWS_ENDPOINT_URL_S3"] = f"http://localhost:{port}"
    output = f"destination partner: S3 endpoint http://localhost:{port}, from AWS_ENDPOINT_URL_S3"
    for verb in ("validate", "check", "push"):
        done = site.crosshaul(verb)
        assert done.returncode == 0, done
        assert output in done.stderr
    assert "file" in strict.objects()
    with site.daemon() as daemon:
        assert daemon.event("endpoint_from_environment")["endpoint"] == output
        assert daemon.stop() == 0


def test_plain_http_of_the_environment_is_refused(strict, site_for):
    """A variable can't select plain http to another machine; the configuration can."""
    site = site_for(strict)
    site.destination.pop("endpoint_url")
    site.write()
    site.environment["AWS_ENDPOINT_URL"] = "http://store.example:9000"
    done = site.crosshaul("validate")
    assert done.returncode == 2
    assert "AWS_ENDPOINT_URL: http://store.example:9000 is plain http to another machine" in done.stderr
    site.environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
    assert site.crosshaul("validate").returncode == 0


def test_empty_variables_are_unset_ones(strict, site_for):
    """Empty variables, as compose files and charts set them, count as unset, so that valid keys are used."""
    site = site_for(strict)
    site.add("file", b"x")
    names = ("AWS_PROFILE", "AWS_RETRY_MODE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "SSL_CERT_FILE")
    site.environment |= dict.fromkeys((*names, "HTTPS_PROXY", "NO_PROXY"), "")
    for verb in ("check", "push"):
        done = site.crosshaul(verb)
        assert done.returncode == 0, done
