"""The JSON Schema (draft 2020-12) of the configuration file, for editors and other checkers."""

from __future__ import annotations

from typing import Any, cast

from crosshaul.config.http_config import HttpConfig
from crosshaul.config.model import Config
from crosshaul.config.units import format_duration, format_size

_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def schema() -> dict[str, Any]:
    """Generate the schema from the models. ``schema.json`` in this directory is a copy of it."""
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
