"""Logs: one event per line, readable by machines and people, and without secrets."""

import contextlib
import io
import json
import logging
import os
from pathlib import Path

import pytest
import structlog

from crosshaul.telemetry import logs, redact

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE9"
SESSION_TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDx1sBWx"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _as_before():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    redact._Registered.secrets = ()


@pytest.fixture
def stream():
    stream = io.StringIO()
    logs.configure("info", "auto", stream)
    return stream


def only_event(stream):
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def broken(text):
    raise ValueError(text)


def fail_with(text):
    try:
        broken(text)
    except ValueError:
        logs.get("x").exception("failed")


def test_off_a_terminal_an_event_is_one_json_object(stream):
    """Off a terminal an event is one line of JSON that begins with time in UTC, level, logger and event."""
    logs.get("crosshaul.discovery.intake").info("settled", route="exports", files=3)
    event = only_event(stream)
    assert list(event)[:4] == ["timestamp", "level", "logger", "event"]
    assert event["timestamp"].endswith("Z")
    assert (event["level"], event["logger"], event["event"]) == ("info", "crosshaul.discovery.intake", "settled")
    assert (event["route"], event["files"]) == ("exports", 3)


def test_on_a_terminal_it_is_coloured_text():
    """On a terminal the same event is coloured text."""
    terminal = Terminal()
    logs.configure("info", "auto", terminal)
    logs.get("x").info("settled", route="exports")
    assert "settled" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_the_format_can_be_forced():
    """``json`` holds on a terminal, and ``console`` off one, then without colours."""
    terminal, file = Terminal(), io.StringIO()
    logs.configure("info", "json", terminal)
    logs.get("x").info("a")
    logs.configure("info", "console", file)
    logs.get("x").info("a")
    assert json.loads(terminal.getvalue())["event"] == "a"
    assert "a" in file.getvalue()
    assert "\x1b" not in file.getvalue()


def test_levels_below_the_configured_one_are_silent(stream):
    """Events below the level are dropped, and a later configuration reaches loggers that were there before."""
    log = logs.get("x")
    log.debug("hidden")
    assert stream.getvalue() == ""
    assert not logs.writes("debug")
    logs.configure("debug", "json", stream)
    assert logs.writes("debug")
    log.debug("shown")
    assert only_event(stream)["event"] == "shown"


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_newline_in_a_value_forges_no_line(format_):
    """Newlines and escape sequences in names or events are escaped."""
    out = io.StringIO()
    logs.configure("info", format_, out)
    logs.get("x").info("a\nb", path=b"evil\n2026-01-01 [error] forged\x1b[2J", more={"k": "v\nw\u2028x"})
    assert len(out.getvalue().split("\n")) == 2
    assert "\x1b" not in out.getvalue()
    assert "\u2028" not in out.getvalue()


def test_a_traceback_stays_within_its_event():
    """In JSON a traceback is a field; on the console each of its lines has a prefix."""
    for format_ in ("json", "console"):
        out = io.StringIO()
        logs.configure("info", format_, out)
        fail_with("first\n2026-01-01T00:00:00Z [error] forged")
        first, *rest = out.getvalue().splitlines()
        assert "failed" in first
        assert "forged" in out.getvalue()
        assert all(line.startswith("  | ") for line in rest)
        assert bool(rest) == (format_ == "console")


def test_a_lone_surrogate_is_escaped(stream):
    """A lone surrogate is escaped."""
    logs.get("x").info("seen", error="a\ud800b", more=1)
    assert json.loads(stream.getvalue())["error"] == "a\\ud800b"


def test_bytes_paths_read_as_text(stream):
    """Paths in bytes, str with surrogates or Path show as text; what is not UTF-8 is escaped, as valid JSON."""
    raw = b"caf\xc3\xa9-\xff.txt"
    logs.get("x").info("seen", path=raw, same=os.fsdecode(raw), also=Path(os.fsdecode(raw)))
    event = only_event(stream)
    assert event["path"] == event["same"] == event["also"] == "caf\u00e9-\\xff.txt"


@pytest.mark.parametrize(
    "name",
    [
        *("secret_access_key", "aws_secret_access_key", "SecretAccessKey", "session_token", "SessionToken", "password"),
        *("external_id", "ExternalId", "external_ids", "Authorization", "X-Amz-Security-Token", "signature"),
    ],
)
def test_fields_with_secret_names_are_redacted(stream, name):
    """A field with the name of a secret is redacted, at any depth."""
    logs.get("x").info("call", **{name: "hush"}, headers={name: "hush", "list": [{name: ("hush",)}]})
    assert "hush" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 3


@pytest.mark.parametrize(
    "text",
    [
        f"key {SECRET_KEY} was used",
        f"token {SESSION_TOKEN} was used",
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, Signature=hush",
        "sent AWS4-HMAC-SHA256 Credential=AKIA/20260101, SignedHeaders=host, Signature=hush",
        "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=hush&X-Amz-Signature=hush",
        "params {'ExternalId': 'hush', 'RoleArn': 'arn'}",
        '{"SecretAccessKey": "hush hush"}',
        "<SessionToken>hush</SessionToken>",
        "external_id=hush",
        "external_id: ['hush', 'hush']",
        "aws_secret_access_key = hush",
    ],
)
def test_secrets_inside_text_are_redacted(stream, text):
    """Secrets within a message, a URL, a dictionary, an XML document or a traceback are removed."""
    logs.get("x").info(text, detail=text)
    fail_with(text)
    for secret in ("hush", SECRET_KEY, SESSION_TOKEN):
        assert secret not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "destinations.partner.external_id: is missing; write the value that Account B's admin gave",
        "request id 4442587FB7D0A2F9, etag d41d8cd98f00b204e9800998ecf8427e",
        "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "external_id_file: /run/credentials/partner1",
        "credentials expire in 3600 s",
    ],
)
def test_ordinary_text_is_left_alone(stream, text):
    """Advice about a setting, request ids, ETags and hashes are no secrets."""
    logs.get("x").info(text, detail=text)
    assert only_event(stream)["event"] == text


def test_a_name_of_a_secret_is_no_secret(stream):
    """The path of the external ID's file, and the number of the ID in use, are shown."""
    logs.get("x").info("read", external_id_file=b"/run/credentials/id", external_id_index="2 of 2")
    event = only_event(stream)
    assert (event["external_id_file"], event["external_id_index"]) == ("/run/credentials/id", "2 of 2")


def test_a_path_that_looks_like_a_key_is_left_alone(stream):
    """A path of 40 characters is shown, although the same text elsewhere would be taken for a secret key."""
    name = "exports/2026/Reports/January/Overview001"
    assert len(name) == 40
    logs.get("x").info("delivered", path=name)
    assert only_event(stream)["path"] == name


def test_registered_secrets_are_removed(stream):
    """A registered secret is removed everywhere; a short one only as a whole word."""
    logs.conceal("partner-4711", "a")
    logs.get("x").info("denied for partner-4711", path=b"dir/partner-4711/file")
    event = only_event(stream)
    assert event["event"] == "denied for [redacted]"
    assert event["path"] == "dir/[redacted]/file"


def test_a_short_external_id_is_removed_as_a_word(stream):
    """An external ID of two characters is removed as a word, and not within words and paths."""
    logs.conceal("k9", "is")
    logs.get("x").info("the external id k9 is not 'k9' but k99", path=b"k9/is", error="(k9).")
    event = only_event(stream)
    assert event["event"] == "the external id [redacted] [redacted] not '[redacted]' but k99"
    assert (event["path"], event["error"]) == ("k9/is", "([redacted]).")


def test_known_secrets_are_bounded():
    """Only the latest secrets are kept."""
    logs.conceal(*(f"secret-{number}" for number in range(1000)))
    assert len(redact._Registered.secrets) == 256
    assert "secret-999" in dict(redact._Registered.secrets)


def test_other_libraries_warnings_go_the_same_way(stream):
    """A warning through ``logging`` becomes an event; debug messages, which contain tokens, do not."""
    logs.configure("debug", "json", stream)
    logging.getLogger("botocore.auth").debug("CanonicalRequest with token")
    logging.getLogger("asyncio").warning("slow: %s\nexternal_id=hush", "100%")
    event = only_event(stream)
    assert (event["logger"], event["level"]) == ("asyncio", "warning")
    assert event["event"] == "slow: 100%\nexternal_id=[redacted]"


def test_a_level_between_the_usual_ones_is_taken(stream):
    """A library's own level (35) is rounded down."""
    logging.getLogger("odd").log(35, "hello")
    assert only_event(stream)["level"] == "warning"


def test_a_log_that_can_not_be_written_stops_nothing():
    """A full disk, a closed pipe or a closed stream raises nothing."""
    survived = []
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:  # closing it fails once more
        logs.configure("info", "json", full)
        log = logs.get("x")
        log.info("lost")
        assert logs.flush(10.0)
        survived.append(full)
    assert survived
    logs.get("x").info("closed")


def test_odd_values_make_valid_json(stream):
    """NaN, unknown objects and deep nesting become strict JSON."""
    endless: list[object] = []
    endless.append(endless)
    round_: dict[str, object] = {}
    round_["again"] = round_
    logs.get("x").info("odd", ratio=float("nan"), thing=object, endless=endless, round=round_)
    event = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert event["ratio"] == "nan"


def test_the_journal_gets_each_events_level(monkeypatch, tmp_path):
    """If systemd's journal reads the log, each line begins with its priority; elsewhere it does not."""
    with (tmp_path / "log").open("w+") as file:
        there = os.fstat(file.fileno())
        for stream in (f"{there.st_dev}:{there.st_ino}", "8:1"):
            monkeypatch.setenv("JOURNAL_STREAM", stream)
            logs.configure("info", "json", file)
            logs.get("test").error("it_broke")
            assert logs.flush(10.0)
    marked, plain = (tmp_path / "log").read_text().splitlines()
    assert marked.startswith('<3>{"timestamp"')
    assert plain.startswith('{"timestamp"')
