"""The example file, the reference page and the schema are generated from the models."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from crosshaul.config import Config, load, schema
from crosshaul.config.yaml_document import Location, YamlDocument, parse
from support import config_pages

ENVIRONMENT = {"PARTNER_EXTERNAL_ID": "example-id"}


def example() -> YamlDocument:
    return parse(config_pages.EXAMPLE.read_text("utf-8"), "example", ENVIRONMENT)


def documented_defaults() -> Iterator[tuple[Location, str]]:
    """Return each ``# Default: VALUE`` of the example with the key below it."""
    lines = config_pages.EXAMPLE.read_text("utf-8").splitlines()
    for location, number in example().lines.items():
        default = re.fullmatch(r"\s*# Default: (.+)", lines[number - 2])
        if default and isinstance(location[-1], str):
            yield location, default[1]


def without(location: Location, value: Any = ...) -> Config:
    """Return the example with one key left out, or set to a value."""
    root = copy.deepcopy(example().root)
    section: Any = root
    for step in location[:-1]:
        section = section[step]
    del section[location[-1]]
    if location[-1] == "role_arn":
        del section["external_id"]  # which needs role_arn
    if value is not ...:
        section[location[-1]] = value
    return Config.model_validate(root)


def value_at(config: Config, location: Location) -> Any:
    value: Any = config
    for step in location:
        value = getattr(value, str(step)) if isinstance(value, BaseModel) else value[step]
    return value


def test_example_loads() -> None:
    """The example is valid when the variable of the external ID is set."""
    config = load(config_pages.EXAMPLE, ENVIRONMENT)
    assert config.destinations["partner"].external_ids() == ("example-id",)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (config_pages.EXAMPLE, config_pages.example),
        (config_pages.REFERENCE, lambda: config_pages.reference(config_pages.REFERENCE.read_text("utf-8"))),
        (config_pages.SCHEMA, config_pages.schema_file),
    ],
    ids=["example", "reference", "schema"],
)
def test_the_generated_files_are_up_to_date(file: Path, expected: Callable[[], str]) -> None:
    """Each file equals the output of tests/support/config_pages.py."""
    assert file.read_text("utf-8") == expected()


def test_the_example_has_every_key_with_its_default() -> None:
    """Every key is in the example, and has a comment with its default unless it is required or a section."""
    documented = {config_pages.general(location) for location, _ in documented_defaults()}
    for key in config_pages.all_keys():
        assert key.path in {config_pages.general(location) for location in example().lines}
        assert (key.path in documented) is (key.default is not None), key.path


def test_every_key_has_a_text() -> None:
    """No attribute of a section lacks its docstring."""
    assert [key.path for key in config_pages.all_keys() if not key.text] == []


@pytest.mark.parametrize(("location", "default"), list(documented_defaults()), ids=lambda value: str(value)[:60])
def test_documented_defaults_are_the_models(location: Location, default: str) -> None:
    """A key that is left out has the default that the example documents."""
    written = parse(f"value: {default}", "default", {}).root
    assert isinstance(written, dict)
    assert value_at(without(location), location) == value_at(without(location, written["value"]), location)


def test_example_fits_the_schema() -> None:
    """The schema is valid under draft 2020-12 and accepts the example as a YAML library parses it."""
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(config_pages.EXAMPLE.read_text("utf-8")))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (("transfer",), "part_sise", 5),
        (("transfer",), "part_size", [5]),
        (("log",), "level", "loud"),
        (("http",), "listen", 5),
        (("destinations", "partner"), "name", "x"),
        (("destinations", "partner"), "duration_seconds", "an hour"),
        (("destinations", "partner"), "tls_ca_bundle", "ca.pem"),
        (("routes", 0), "after_upload", "remove"),
        (("routes", 0), "include", "*.csv"),
    ],
)
def test_schema_refuses_what_the_models_refuse(section: Location, key: str, value: object) -> None:
    """The schema refuses unknown keys, wrong types and unknown words."""
    file = yaml.safe_load(config_pages.EXAMPLE.read_text("utf-8"))
    target = file
    for step in section:
        target = target[step]
    target[key] = value
    assert not jsonschema.Draft202012Validator(schema()).is_valid(file)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (("transfer",), "part_size", 8388608),
        (("transfer",), "max_concurrency", "${N:-5}"),
        (("transfer",), "bandwidth", [["08:00", "2MiB/s"], ["19:00", "off"]]),
        (("log",), "level", "${LEVEL:-info}"),
        (("http",), "listen", None),
        ((), "http", None),
        (("destinations", "partner"), "external_id", [123, "abc"]),
        (("destinations", "partner"), "expected_bucket_owner", 123456789012),
        (("destinations", "partner"), "tags", {"a": 1, "b": True}),
        (("routes", 0), "after_upload", {"move_to": "/x", "grace": "1h"}),
        (("routes", 0), "after_upload", "delete"),
        (("routes", 0), "settle", {"quiet": 0}),
    ],
)
def test_schema_takes_what_the_models_take(section: Location, key: str, value: object) -> None:
    """The schema accepts every form of a value that the models accept."""
    file = yaml.safe_load(config_pages.EXAMPLE.read_text("utf-8"))
    target = file
    for step in section:
        target = target[step]
    target[key] = value
    jsonschema.Draft202012Validator(schema()).validate(file)


def test_schema_defaults_fit_the_schema() -> None:
    """The schema accepts each of its defaults."""
    whole = schema()
    validator = jsonschema.Draft202012Validator
    found = 0
    stack: list[Any] = [whole]
    while stack:
        node = stack.pop()
        stack.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
        if isinstance(node, dict) and "default" in node and set(node) & {"type", "anyOf", "enum"}:
            validator({**node, "$defs": whole["$defs"]}).validate(node["default"])
            found += 1
    assert found > 35
