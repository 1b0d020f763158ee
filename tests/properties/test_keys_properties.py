"""Keys over all paths: no two paths share a text, each text gives its path back, and no key leaves the prefix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.keys import KeyFields, KeyRefused, Template, key_text, path_bytes

TRICKY = st.sampled_from(
    [b"%", b"2", b"5", b"%25", b"E9", b"\xe9", b"\xc3", b"\xa9", "é".encode(), b"F", b".", b"..", b"/"]
)
PATHS = st.one_of(
    st.binary(max_size=60), st.lists(TRICKY, max_size=12).map(b"".join), st.binary(min_size=900, max_size=1100)
)
PREFIXES = st.sampled_from(["", "in/", "a b/ü/", "x" * 900 + "/"])
TEMPLATES = st.sampled_from(
    ["{path}", "{dir}/{name}", "{stem}{suffix}", "{stem}/{name}", "{dir}/{suffix}/{name}", "{mtime:%Y/%j}/{path}"]
)


@given(PATHS)
def test_reversible(path: bytes) -> None:
    """Every path is recovered from its text, and the text is UTF-8."""
    text = key_text(path)
    text.encode()
    assert path_bytes(text) == path


@given(PATHS, PATHS)
def test_injective(one: bytes, other: bytes) -> None:
    """Two paths share a text only if they are the same path."""
    assert (key_text(one) == key_text(other)) == (one == other)


@given(st.text(max_size=60).filter(lambda text: "\x00" not in text))
def test_valid_text_is_left_alone(text: str) -> None:
    """A path in UTF-8 without a percent sign is its own key."""
    plain = text.replace("%", "")
    assert key_text(plain.encode()) == plain


@given(TEMPLATES, PATHS, PREFIXES, st.integers(-(10**22), 10**22))
def test_never_outside_the_prefix(template: str, path: bytes, prefix: str, mtime_ns: int) -> None:
    """Whatever the path, the key is under the prefix, at most 1,024 bytes, without odd segments, or refused."""
    try:
        key = Template.parse(template).render(KeyFields(path, "r", "h", mtime_ns), prefix)
    except KeyRefused:
        return
    assert key.startswith(prefix)
    assert len(key) > len(prefix)
    assert len(key.encode()) <= 1024
    assert {"", ".", ".."}.isdisjoint(key.split("/"))


@given(PATHS, PATHS)
def test_whole_paths_never_collide(one: bytes, other: bytes) -> None:
    """Under {dir}/{name}, which holds the whole path, two paths never get one key."""
    keys = []
    for path in (one, other):
        try:
            keys.append(Template.parse("{dir}/{name}").render(KeyFields(path, "r", "h", 0), "p/"))
        except KeyRefused:
            return
    assert (keys[0] == keys[1]) == (one == other)


@given(PATHS)
def test_path_comes_back_from_the_key(path: bytes) -> None:
    """With the template {path}, what follows the prefix is the path's own text."""
    try:
        key = Template.parse("{path}").render(KeyFields(path, "r", "h", 0), "100%/")
    except KeyRefused:
        return
    assert path_bytes(key.removeprefix("100%/")) == path
