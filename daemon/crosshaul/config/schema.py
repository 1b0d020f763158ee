"""The JSON Schema (draft 2020-12) of the configuration file, for editors and other checkers."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Any, cast

from crosshaul.config.http_server import HttpConfig
from crosshaul.config.model import Config
from crosshaul.config.types import Section
from crosshaul.config.units import format_duration, format_size

_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def schema() -> dict[str, Any]:
    """Generate the schema from the models. ``schema.json`` in this directory is a copy of it."""
    for model in Section.__subclasses__():
        _describe(model)
    generated = cast("dict[str, Any]", _as_written(Config.model_json_schema(mode="validation")))
    sections = generated["$defs"]
    del sections["Destination"]["properties"]["name"]
    sections["Destination"]["required"].remove("name")
    del sections["Destination"]["properties"]["region"]["default"]
    sections["Route"]["required"].remove("destination")
    sections["AfterUploadConfig"] = {"anyOf": [{"enum": ["keep", "delete"]}, _VARIABLE, sections["AfterUploadConfig"]]}
    sections["HttpConfig"]["properties"]["listen"]["default"] = str(HttpConfig().listen)
    sections["HttpConfig"] = {"anyOf": [{"type": "null"}, sections["HttpConfig"]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated, "title": "Crosshaul configuration"}


def summary(text: str) -> str:
    """Return the first paragraph of a key's text, as plain text on one line."""
    return " ".join(text.partition("\n\n")[0].replace("`", "").split())


def _describe(model: type[Section]) -> None:
    """Make the keys' docstrings their descriptions: only here, because reading the sources would slow each start."""
    for part in model.__mro__:
        for name, text in _docstrings(part) if issubclass(part, Section) else ():
            model.model_fields[name].description = text
    model.model_rebuild(force=True)
    for subclass in model.__subclasses__():
        _describe(subclass)


def _docstrings(model: type[Section]) -> Iterator[tuple[str, str]]:
    definition = ast.parse(dedent(inspect.getsource(model))).body[0]
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - it is the source of a class
    for key, text in pairwise(definition.body):
        match key, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                yield name, inspect.cleandoc(words)


def _as_written(node: object) -> object:
    """Rewrite the schema of the values as one of the file: defaults with units, variables besides fixed words."""
    if isinstance(node, list):
        return [_as_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    written = {key: _as_written(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if "$ref" in written:
        written.pop("default", None)  # the defaults of a section are those of its keys
    if isinstance(text := written.get("description"), str):
        written["description"] = summary(text)
    formats = {"size": format_size, "duration": format_duration}
    format_value = formats.get(str(written.get("format")))
    if format_value is not None and isinstance(default := written.get("default"), (int, float)):
        written["default"] = format_value(int(default))
    if isinstance(written.get("enum"), list):
        words = {key: written.pop(key) for key in ("enum", "type") if key in written}
        written["anyOf"] = [words, _VARIABLE]
    return written
