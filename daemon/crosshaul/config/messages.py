"""pydantic's findings as sentences: where in the file, what is wrong, and what to write instead. Secrets stay out."""

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

_WANTED = {
    "string_type": "text",
    "path_type": "a path",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "model_type": "a mapping (indented lines of KEY: VALUE)",
    "dict_type": "a mapping (indented lines of KEY: VALUE)",
    "tuple_type": "a list ([A, B], or lines that begin with '- ')",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "less than {0}; write {0} or more"),
    "less_than_equal": ("le", "more than {0}; write {0} or less"),
    "greater_than": ("gt", "not more than {0}; write more"),
}


def sentences(error: ValidationError, root: Value) -> Iterator[tuple[Location, str]]:
    """Each finding's location in the file, and its sentence."""
    for finding in error.errors(include_url=False):
        if finding["type"] == "too_short" and finding["input"]:
            continue  # it has entries, none of them usable, and each has its own finding
        yield _location(finding["loc"], root), _sentence(finding)


def _location(location: Location, root: Value) -> Location:
    """The part of a model's location that means something in the file: one step past what stands in it at most."""
    value: Value = root
    for depth, step in enumerate(location):
        if isinstance(value, dict) and isinstance(step, str) and step != "[key]":
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        elif value is not None or step == "[key]" or isinstance(step, int):
            return location[:depth]
    return location


def _sentence(finding: ErrorDetails) -> str:
    kind, context = finding["type"], finding.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _BY_LOCATION:
        return _BY_LOCATION[kind](finding["loc"])
    if kind == "literal_error" and isinstance(finding["input"], str):
        return _unknown_word(finding["input"], context["expected"])
    if kind in _BOUNDS:
        name, sentence = _BOUNDS[kind]
        return "it is " + sentence.format(_number(context[name]))
    if kind == "too_short":
        return "it is empty; write at least one entry"
    return _wrong_type(finding)


def _missing(location: Location) -> str:
    field = _fields(location[:-1])[str(location[-1])]
    example = json.dumps((field.examples or ["..."])[0]).strip('"')
    return f"it is missing; write for instance {location[-1]}: {example}"


def _unknown_key(location: Location) -> str:
    key = str(location[-1])
    known = [name for name in _fields(location[:-1]) if not (name == "name" and location[0] == "destinations")]
    close = get_close_matches(key, known, 1)
    if close:
        return f"unknown key; write {close[0]}"
    section = next((name for name, field in Config.model_fields.items() if key in _model(field.annotation)), None)
    if section is not None:
        return f"unknown key; it belongs in {section}"
    return "unknown key; remove it, or write one of " + ", ".join(known)


def _unknown_word(word: str, expected: str) -> str:
    words = expected.replace("'", "").replace(" or ", ", ").split(", ")
    close = get_close_matches(word.lower(), [choice.lower() for choice in words], 1)
    cure = next((choice for choice in words if close and choice.lower() == close[0]), None)
    return f"{word!r} is not understood; write {cure or 'one of ' + ', '.join(words)}"


def _wrong_type(finding: ErrorDetails) -> str:
    wanted = _WANTED.get(finding["type"], "something else")
    if finding["type"] == "literal_error":
        wanted = f"one of {finding['ctx']['expected']}"
    value = finding["input"]
    shape = {type(None): "nothing", dict: "a mapping", list: "a list"}.get(type(value), "text")
    cure = json.dumps([value]) if finding["type"] == "tuple_type" and isinstance(value, str) else "that, or remove it"
    return f"{shape} stands where {wanted} belongs; write {cure}"


def _number(bound: float) -> str:
    return format_size(int(bound)) if bound >= MIB else f"{bound:g}"


def _fields(location: Location) -> dict[str, FieldInfo]:
    """The fields of the section at a location; the steps through a mapping of names or a list are the model's own."""
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
