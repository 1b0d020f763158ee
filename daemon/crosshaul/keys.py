"""Make object keys from paths and key templates; a key always stays under the destination's prefix. Pure.

Keys are UTF-8 of at most 1,024 bytes (S3's limit); paths are bytes of any kind. ``key_text`` maps one to the other so
that no two paths share a text, and ``path_bytes`` takes it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Formatter

from crosshaul.errors import suggestion

MAX_KEY_BYTES = 1024
"""S3's limit on a key's UTF-8 form (User Guide, "Naming Amazon S3 objects")."""

_ESCAPE = "(?:[89A-F][0-9A-F]|25)"
_AMBIGUOUS_PERCENT = re.compile(f"%(?={_ESCAPE})")
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_ESCAPED = re.compile(f"%({_ESCAPE})".encode())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIRECTIVE = re.compile("%(.?)", re.DOTALL)


class KeyRefused(Exception):
    """A file that can't have a key. ``code`` is for programs; ``str(error)`` says what to do.

    Codes: ``KeyTooLongError``, ``KeyOutsidePrefix``, ``KeyUndatable``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def key_text(path: bytes) -> str:
    """Write a path as text: UTF-8 as it is, any other byte as ``%NN``, and ``%`` as ``%25`` where it could mislead."""
    text = _AMBIGUOUS_PERCENT.sub("%25", path.decode("utf-8", "surrogateescape"))
    return _UNDECODABLE.sub(lambda lone: f"%{ord(lone[0]) - 0xDC00:02X}", text)


def path_bytes(text: str) -> bytes:
    """Return the path from the text that ``key_text`` made."""
    return _ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), text.encode())


@dataclass(frozen=True, slots=True)
class KeyFields:
    """Values of a template's fields. ``path`` is relative to the route's root; ``sha256`` is lower-case hex."""

    path: bytes
    route: str
    hostname: str
    mtime_ns: int
    sha256: str | None = None


_DATE_PARTS: Mapping[str, Callable[[datetime], str]] = {
    "Y": lambda t: f"{t.year:04}",
    "y": lambda t: f"{t.year % 100:02}",
    "m": lambda t: f"{t.month:02}",
    "d": lambda t: f"{t.day:02}",
    "H": lambda t: f"{t.hour:02}",
    "M": lambda t: f"{t.minute:02}",
    "S": lambda t: f"{t.second:02}",
    "f": lambda t: f"{t.microsecond:06}",
    "j": lambda t: f"{t.timetuple().tm_yday:03}",
    "G": lambda t: f"{t.isocalendar().year:04}",
    "V": lambda t: f"{t.isocalendar().week:02}",
    "u": lambda t: f"{t.isoweekday()}",
    "s": lambda t: f"{(t - _EPOCH) // timedelta(seconds=1)}",
    "%": lambda _: "%",
}
"""strftime's directives that don't depend on the locale, so that a key is the same on every machine."""


def _split(path: bytes) -> tuple[bytes, bytes, bytes]:
    folder, _, name = path.rpartition(b"/")
    stem, dot, suffix = name.rpartition(b".")
    return (folder, stem, dot + suffix) if stem.strip(b".") else (folder, name, b"")


def _sha256(fields: KeyFields, _: str) -> str:
    if fields.sha256 is None:
        raise ValueError("a template with {sha256} needs the file's sha256")
    return fields.sha256


def _mtime(fields: KeyFields, form: str) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=fields.mtime_ns // 1000)
    except OverflowError:
        message = "its modification time lies outside the years 1 to 9999, so {mtime} has no value; touch the file"
        raise KeyRefused("KeyUndatable", message) from None
    return _DIRECTIVE.sub(lambda directive: _DATE_PARTS[directive[1]](moment), form)


_FIELDS: Mapping[str, Callable[[KeyFields, str], str]] = {
    "path": lambda fields, _: key_text(fields.path),
    "name": lambda fields, _: key_text(fields.path.rpartition(b"/")[2]),
    "stem": lambda fields, _: key_text(_split(fields.path)[1]),
    "suffix": lambda fields, _: key_text(_split(fields.path)[2]),
    "dir": lambda fields, _: key_text(_split(fields.path)[0]),
    "route": lambda fields, _: fields.route,
    "hostname": lambda fields, _: fields.hostname,
    "mtime": _mtime,
    "sha256": _sha256,
}
_DISTINGUISHING = frozenset({"path", "name", "stem", "mtime", "sha256"})
"""Fields that make the keys of different files differ."""


@dataclass(frozen=True, slots=True)
class _TemplatePart:
    """Literal text, optionally followed by a field with its format."""

    literal: str
    field: str | None
    form: str


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed key template such as ``{route}/{mtime:%Y/%m}/{name}``; ``{{`` and ``}}`` are literal braces."""

    text: str
    _pieces: tuple[_TemplatePart, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse a template; raises ValueError with what is wrong and what to write."""
        pieces = tuple(_pieces(text))
        if not any(piece.field in _DISTINGUISHING for piece in pieces):
            raise ValueError("every file would get the same key; use {path}, {name}, {stem}, {mtime:...} or {sha256}")
        _check_shape(pieces)
        return cls(text, pieces)

    @property
    def needs_sha256(self) -> bool:
        """True if ``render`` needs the content's SHA-256."""
        return self._has("sha256")

    @property
    def needs_hostname(self) -> bool:
        """True if the key contains the machine's name."""
        return self._has("hostname")

    def _has(self, field: str) -> bool:
        return any(piece.field == field for piece in self._pieces)

    def render(self, fields: KeyFields, key_prefix: str) -> str:
        """Make the key: ``key_prefix`` as it is, then the filled template, with empty segments left out.

        Raises KeyRefused if the key would be too long, leave the prefix, or have a field without a value.
        """
        _check_path(fields.path)
        filled = "".join(
            piece.literal + (_FIELDS[piece.field](fields, piece.form) if piece.field else "") for piece in self._pieces
        )
        key = key_prefix + "/".join(segment for segment in filled.split("/") if segment)
        _check_key(key)
        return key


def _pieces(text: str) -> list[_TemplatePart]:
    try:
        text.encode()
        parsed = list(Formatter().parse(text))
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which UTF-8 can't write") from None
    except ValueError:
        raise ValueError("its braces don't match; write {{ and }} for literal braces") from None
    return [_piece(literal, field, form or "", conversion) for literal, field, form, conversion in parsed]


def _piece(literal: str, field: str | None, form: str, conversion: str | None) -> _TemplatePart:
    if field is None:
        return _TemplatePart(literal, None, "")
    if field not in _FIELDS:
        names = (f"{{{name}}}" for name in _FIELDS)
        raise ValueError(f"{{{field}}} is not a field; {suggestion(f'{{{field}}}', names)}")
    if conversion is not None:
        raise ValueError(f"{{{field}!{conversion}}} is not understood; write {{{field}}}")
    if field == "mtime":
        _check_date_form(form)
    elif form:
        raise ValueError(f"{{{field}:{form}}} is not understood; only mtime has a format; write {{{field}}}")
    return _TemplatePart(literal, field, form)


def _check_date_form(form: str) -> None:
    directives = [match[1] for match in _DIRECTIVE.finditer(form)]
    if not any(directive.isalpha() for directive in directives):
        raise ValueError("{mtime} needs a format, in UTC; write for instance {mtime:%Y/%m/%d}")
    unknown = [directive for directive in directives if directive not in _DATE_PARTS]
    if unknown:
        known = " ".join(f"%{letter}" for letter in _DATE_PARTS)
        raise ValueError(f"{{mtime:...}} doesn't know %{unknown[0]}; it knows {known}")


def _check_shape(pieces: tuple[_TemplatePart, ...]) -> None:
    skeleton = "".join(
        piece.literal + (_DIRECTIVE.sub("x", piece.form) or "x" if piece.field else "") for piece in pieces
    )
    segments = skeleton.split("/")
    if "" in segments:
        raise ValueError("it begins or ends with '/' or holds '//'; write single slashes between names")
    if not {".", ".."}.isdisjoint(segments):
        raise ValueError("it holds a '.' or '..' segment, which could leave the prefix; leave it out")


def _check_path(path: bytes) -> None:
    if b"" in path.split(b"/"):
        raise KeyRefused("KeyOutsidePrefix", "its path is not relative, or has an empty segment")


def _check_key(key: str) -> None:
    if not {".", ".."}.isdisjoint(key.split("/")):
        message = "its key would hold a '.' or '..' segment; change the route's key template or rename the file"
        raise KeyRefused("KeyOutsidePrefix", message)
    length = len(key.encode())
    if length > MAX_KEY_BYTES:
        message = f"its key would be {length} bytes and S3 takes {MAX_KEY_BYTES}; shorten the path or the key template"
        raise KeyRefused("KeyTooLongError", message)
