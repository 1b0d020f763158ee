"""The keys that a template makes of a path."""

from __future__ import annotations

from typing import Any

import pytest

from crosshaul.keys import KeyFields, KeyRefused, Template, key_text, path_bytes

NOON = 1_709_208_000_123_456_789  # 2024-02-29 12:00:00.123456789 UTC


def render(template: str, path: bytes = b"in/a.tar.gz", prefix: str = "", **more: Any) -> str:
    fields = KeyFields(path, "exports", "host-1", **{"mtime_ns": NOON, **more})
    return Template.parse(template).render(fields, prefix)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"plain/name.txt", "plain/name.txt"),
        ("naïve/文件.txt".encode(), "naïve/文件.txt"),
        (b"latin-\xe9.txt", "latin-%E9.txt"),
        (b"100%.txt", "100%.txt"),
        (b"100%E9.txt", "100%25E9.txt"),
        (b"100%e9.txt", "100%e9.txt"),
        (b"%25", "%2525"),
        (b"%20 %41", "%20 %41"),
        (b"%\xff", "%%FF"),
        (b"%2\xff5", "%2%FF5"),
        (b"cut \xe6\x96", "cut %E6%96"),
        (b"\xed\xa0\x80", "%ED%A0%80"),
        (b"line\nbreak\t", "line\nbreak\t"),
    ],
)
def test_mapping(path: bytes, text: str) -> None:
    """UTF-8 stays as it is, other bytes become %NN, and % is escaped only where it would read as an escape."""
    assert key_text(path) == text
    assert path_bytes(text) == path


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{path}", "in/a.tar.gz"),
        ("{name}", "a.tar.gz"),
        ("{stem}~{suffix}", "a.tar~.gz"),
        ("{dir}/x-{name}", "in/x-a.tar.gz"),
        ("{route}/{hostname}/{path}", "exports/host-1/in/a.tar.gz"),
        ("{mtime:%Y/%m/%d}/{name}", "2024/02/29/a.tar.gz"),
        ("{mtime:%y%m%dT%H%M%S.%f}-{name}", "240229T120000.123456-a.tar.gz"),
        ("{mtime:%G-W%V-%u/%j/%s%%}/{name}", "2024-W09-4/060/1709208000%/a.tar.gz"),
        ("{{{name}}}", "{a.tar.gz}"),
    ],
)
def test_fields(template: str, key: str) -> None:
    """Each field stands for the part that its name says, with mtime in UTC."""
    assert render(template) == key


@pytest.mark.parametrize(
    ("path", "stem", "suffix"),
    [
        (b".bashrc", ".bashrc", ""),
        (b"a.", "a", "."),
        (b"..x", "..x", ""),
        (b"d.e/f", "f", ""),
        (b"f\xff.g", "f%FF", ".g"),
    ],
)
def test_stem_and_suffix(path: bytes, stem: str, suffix: str) -> None:
    """A leading dot is no suffix, and the directory's dots don't count."""
    assert render("{stem}|{suffix}", path) == f"{stem}|{suffix}"


def test_empty_dir_leaves_no_empty_segment() -> None:
    """A file at the root has no {dir}, and its key has no empty segment for it."""
    assert render("a/{dir}/{name}", b"f") == "a/f"
    assert render("{dir}/{name}", b"f", "p/") == "p/f"


def test_sha256_is_asked_for_only_when_used() -> None:
    """Only a template with {sha256} needs the content's digest, and it can't do without."""
    assert not Template.parse("{path}").needs_sha256
    assert Template.parse("{sha256}").needs_sha256
    assert render("{sha256}{suffix}", sha256="ab12") == "ab12.gz"
    with pytest.raises(ValueError, match="needs the file's sha256"):
        render("{sha256}")


def test_dates_beyond_the_calendar_are_refused() -> None:
    """A modification time after the year 9999 refuses the file only if the template uses it."""
    assert render("{path}", mtime_ns=2**63 - 1, path=b"f") == "f"
    with pytest.raises(KeyRefused) as refused:
        render("{mtime:%Y}/{name}", mtime_ns=10**21)
    assert refused.value.code == "KeyUndatable"
    assert render("{mtime:%Y-%m-%d}/{name}", b"f", mtime_ns=-1) == "1969-12-31/f"


def test_key_length_is_counted_in_bytes() -> None:
    """A key of 1,024 bytes of UTF-8, prefix included, is valid, and a longer one is refused."""
    assert len(render("{path}", "é".encode() * 511, "p/").encode()) == 1024
    with pytest.raises(KeyRefused, match="1025 bytes") as refused:
        render("{path}", b"x" + "é".encode() * 511, "p/")
    assert refused.value.code == "KeyTooLongError"


@pytest.mark.parametrize(
    ("template", "path", "prefix"),
    [
        ("{path}", b"../up", ""),
        ("{path}", b"a/./b", ""),
        ("{stem}/{name}", b"..", ""),
        ("{path}", b"/absolute", ""),
        ("{path}", b"a//b", ""),
        ("{path}", b"", ""),
        ("{name}", b".", "p/"),
        ("{path}", b"./b", "p/."),
    ],
)
def test_leaving_the_prefix_is_refused(template: str, path: bytes, prefix: str) -> None:
    """No path makes a key with a '.' or '..' segment or an absolute key."""
    with pytest.raises(KeyRefused) as refused:
        render(template, path, prefix)
    assert refused.value.code == "KeyOutsidePrefix"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{pth}", "{pth} is not a field; write {path}"),
        ("{zzz}", "{zzz} is not a field; write one of {path}, {name}"),
        ("{path.x}", "{path.x} is not a field"),
        ("{}", "{} is not a field"),
        ("{path!r}", "write {path}"),
        ("{path:>9}", "only mtime has a format; write {path}"),
        ("{path", "its braces don't match"),
        ("path}", "its braces don't match"),
        ("{mtime}/{path}", "{mtime} needs a format"),
        ("{mtime:x}/{path}", "{mtime} needs a format"),
        ("{mtime:%Y%Q}/{path}", "doesn't know %Q"),
        ("{mtime:%Y%}/{path}", "doesn't know %;"),
        ("{mtime:%b}/{path}", "doesn't know %b"),
        ("fixed", "every file would get the same key"),
        ("{route}{dir}", "every file would get the same key"),
        ("", "every file would get the same key"),
        ("/{path}", "begins or ends with '/'"),
        ("a//{path}", "holds '//'"),
        ("{path}/", "begins or ends with '/'"),
        ("../{path}", "could leave the prefix"),
        ("{mtime:%Y/../}x{path}", "could leave the prefix"),
        ("\ud800{path}", "surrogate"),
    ],
)
def test_bad_templates(template: str, sentence: str) -> None:
    """An invalid template is refused with a sentence that says what to write."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is matched below, braces and all
        Template.parse(template)
    assert sentence in str(refused.value)
