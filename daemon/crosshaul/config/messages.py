"""Turn pydantic's errors into messages: the location, what is wrong and what to write. Never quotes a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from crosshaul.config.model import Config
from crosshaul.config.units import MIB, format_size
from crosshaul.config.yaml_document import Location, Value
from crosshaul.errors import suggestion

_EXPECTED = {
    "string_type": "text",
    "path_type": "a path",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "model_type": "a mapping (indented lines of KEY: VALUE)",
    "dict_type": "a mapping (indented lines of KEY: VALUE)",
    "tuple_type": "a list ([A, B], or lines that start with '- ')",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "too small; write {0} or more"),
    "less_than_equal": ("le", "too large; write {0} or less"),
    "greater_than": ("gt", "too small; write more than {0}"),
}


def messages(error: ValidationError, root: Value) -> Iterator[tuple[Location, str]]:
    """Yield the location and the message of each error."""
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # it has entries, and each of them has its own error
        yield _location(detail["loc"], root), _message(detail)


def _location(location: Location, root: Value) -> Location:
    """Shorten a model's location to one of the file, at most one step past an existing value."""
    value: Value = root
    for depth, step in enumerate(location):
        if isinstance(value, dict) and isinstance(step, str) and step != "[key]":
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        elif value is not None or step == "[key]" or isinstance(step, int):
            return location[:depth]
    return location


def _message(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _BY_LOCATION:
        return _BY_LOCATION[kind](detail["loc"])
    if kind == "literal_error" and isinstance(detail["input"], str):
        return _unknown_word(detail["input"], context["expected"])
    if kind in _BOUNDS:
        name, sentence = _BOUNDS[kind]
        return sentence.format(_number(context[name]))
    if kind == "too_short":
        return "empty; write at least one entry"
    return _wrong_type(detail)


def _missing(location: Location) -> str:
    field = _fields(location[:-1])[str(location[-1])]
    example = json.dumps((field.examples or ["..."])[0]).strip('"')
    return f"required key is missing; write for example {location[-1]}: {example}"


def _unknown_key(location: Location) -> str:
    key = str(location[-1])
    known = [name for name in _fields(location[:-1]) if not (name == "name" and location[0] == "destinations")]
    close = get_close_matches(key, known, 1)
    if close:
        return f"unknown key; write {close[0]}"
    section = next((name for name, field in Config.model_fields.items() if key in _model(field.annotation)), None)
    if section is not None:
        return f"unknown key; move it to {section}"
    return "unknown key; remove it, or write one of " + ", ".join(known)


def _unknown_word(word: str, expected: str) -> str:
    words = expected.replace("'", "").replace(" or ", ", ").split(", ")
    return f"unknown value {word!r}; {suggestion(word, words)}"


def _wrong_type(detail: ErrorDetails) -> str:
    expected = _EXPECTED.get(detail["type"], "something else")
    if detail["type"] == "literal_error":
        expected = f"one of {detail['ctx']['expected']}"
    value = detail["input"]
    if value is None:
        return f"empty; write {expected}, or remove it"
    if detail["type"] == "tuple_type" and isinstance(value, str):
        return f"text instead of {expected}; write {json.dumps([value])}"
    shape = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "text"
    return f"{shape} instead of {expected}; write {expected}, or remove it"


def _number(bound: float) -> str:
    return format_size(int(bound)) if bound >= MIB else f"{bound:g}"


def _fields(location: Location) -> dict[str, FieldInfo]:
    """Return the fields of the section at a location."""
    fields: dict[str, FieldInfo] = dict(Config.model_fields)
    steps = iter(location)
    for step in steps:
        annotation = fields[str(step)].annotation
        fields = _model(annotation)
        if get_args(annotation):
            next(steps, None)
    return fields


def _model(annotation: object) -> dict[str, FieldInfo]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return dict(annotation.model_fields)
    return next((fields for part in get_args(annotation) if (fields := _model(part))), {})


_BY_LOCATION: Mapping[str, Callable[[Location], str]] = {"missing": _missing, "extra_forbidden": _unknown_key}
