"""The JSON Schema (draft 2020-12) of the file as people write it, for editors and other checkers."""

from __future__ import annotations

from typing import Any, cast

from crosshaul.config.model import Config, HttpConfig
from crosshaul.config.units import format_duration, format_size

_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def schema() -> dict[str, Any]:
    """Generate the schema from the models. ``schema.json`` beside this file is the same, for those without Python."""
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


def _as_written(node: object) -> object:
    """Defaults with their units, and a variable wherever a word is chosen from a list."""
    if isinstance(node, list):
        return [_as_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    written = {key: _as_written(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if "$ref" in written:
        written.pop("default", None)  # a section's defaults are those of its keys
    writers = {"size": format_size, "duration": format_duration}
    writer = writers.get(str(written.get("format")))
    if writer is not None and isinstance(default := written.get("default"), (int, float)):
        written["default"] = writer(int(default))
    if isinstance(written.get("enum"), list):
        words = {key: written.pop(key) for key in ("enum", "type") if key in written}
        written["anyOf"] = [words, _VARIABLE]
    return written
