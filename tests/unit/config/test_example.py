"""The example file, the reference page and the schema say what the models say."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from crosshaul.config import BandwidthStep, Config, HostPort, load, schema
from crosshaul.config.yaml_document import Location, YamlDocument, parse

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config.example.yaml"
REFERENCE = ROOT / "docs" / "CONFIGURATION.md"
ENVIRONMENT = {"PARTNER_EXTERNAL_ID": "example-id"}
REQUIRED = {"state_dir", "destinations", "destinations.NAME.bucket", "routes"} | {
    f"routes[].{key}" for key in ("name", "path", "destination")
}


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in {HostPort, BandwidthStep}:  # these are written as one value
            yield annotation
    else:
        for part in get_args(annotation):
            yield from sections(part)


def keys(model: type[BaseModel] = Config, above: str = "") -> Iterator[str]:
    """Every key there is, as the reference names it: ``routes[].settle.quiet``, ``destinations.NAME.bucket``."""
    for name, field in model.model_fields.items():
        if above == "destinations.NAME." and name == "name":
            continue
        yield f"{above}{name}"
        step = {"destinations": ".NAME.", "routes": "[]."}.get(name, ".")
        for section in sections(field.annotation):
            yield from keys(section, f"{above}{name}{step}")


def general(location: Location) -> str:
    steps = ["[]" if isinstance(step, int) else f".{step}" for step in location]
    if len(steps) > 1 and steps[0] == ".destinations":
        steps[1] = ".NAME"
    return "".join(steps).removeprefix(".")


def example() -> YamlDocument:
    return parse(EXAMPLE.read_text("utf-8"), "example", ENVIRONMENT)


def documented_defaults() -> Iterator[tuple[Location, str]]:
    """Each ``# Default: VALUE`` of the example with the key that it stands above."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for location, number in example().lines.items():
        default = re.fullmatch(r"\s*# Default: (.+)", lines[number - 2])
        if default and isinstance(location[-1], str):
            yield location, default[1]


def without(location: Location, value: Any = ...) -> Config:
    """The example with one key left out, or set to a value."""
    root = copy.deepcopy(example().root)
    section: Any = root
    for step in location[:-1]:
        section = section[step]
    del section[location[-1]]
    if location[-1] == "role_arn":
        del section["external_id"]  # which means nothing without it
    if value is not ...:
        section[location[-1]] = value
    return Config.model_validate(root)


def value_at(config: Config, location: Location) -> Any:
    value: Any = config
    for step in location:
        value = getattr(value, str(step)) if isinstance(value, BaseModel) else value[step]  # type: ignore[index]
    return value


def test_example_loads() -> None:
    """The example is a valid file as it is, once the partner's external ID is set."""
    config = load(EXAMPLE, ENVIRONMENT)
    assert config.destinations["partner"].external_ids() == ("example-id",)


def test_example_has_every_key() -> None:
    """There is no key that the example doesn't show."""
    assert set(keys()) - {general(location) for location in example().lines} == set()


def test_example_gives_a_default_for_every_key_that_has_one() -> None:
    """Each key that may be left out stands below a ``# Default:`` line at least once."""
    settings = {key for key in keys() if not any(other.startswith((f"{key}.", f"{key}[")) for other in keys())}
    documented = {general(location) for location, _ in documented_defaults()}
    exempt = REQUIRED | {"routes[].after_upload.move_to"}  # which has no default of its own: it is what makes a move
    assert settings - documented - exempt == set()


@pytest.mark.parametrize(("location", "default"), list(documented_defaults()), ids=lambda value: str(value)[:60])
def test_documented_defaults_are_the_models(location: Location, default: str) -> None:
    """Leaving a key out comes to the same as writing the default that the example documents."""
    written = parse(f"value: {default}", "default", {}).root
    assert isinstance(written, dict)
    assert value_at(without(location), location) == value_at(without(location, written["value"]), location)


def test_example_fits_the_schema() -> None:
    """The schema is one of draft 2020-12, and takes the example as any YAML reader reads it."""
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(EXAMPLE.read_text("utf-8")))


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
    """An editor that has the schema marks unknown keys, wrong types and unknown words."""
    file = yaml.safe_load(EXAMPLE.read_text("utf-8"))
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
    """Every way of writing a value that the program takes is one that the schema takes."""
    file = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    target = file
    for step in section:
        target = target[step]
    target[key] = value
    jsonschema.Draft202012Validator(schema()).validate(file)


def test_schema_defaults_fit_the_schema() -> None:
    """Each default in the schema is itself a value that the schema takes at that place."""
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


def reference_rows() -> dict[str, str]:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \|([^|]*)\|", REFERENCE.read_text("utf-8"), re.MULTILINE)
    return {key: default.strip().strip("`") for key, default in rows}


def test_reference_names_every_key() -> None:
    """The reference page has a row for each key, and for none that isn't one."""
    assert set(reference_rows()) == set(keys())


def test_reference_gives_the_examples_defaults() -> None:
    """A default in the reference page is the one that the example documents, which is the model's."""
    documented = {general(location): default for location, default in reversed(list(documented_defaults()))}
    documented["routes[].after_upload.action"] = "keep"  # the example has a move_to beside it, which makes it move
    rows = reference_rows()
    assert {key: rows[key] for key in documented} == documented
    assert {key for key, default in rows.items() if default == "required"} == REQUIRED
