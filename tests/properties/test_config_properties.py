"""The configuration loader over any input: it returns a configuration or a list of errors, never a traceback."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosshaul.config import Config, load
from crosshaul.config.yaml_document import Location, parse
from crosshaul.errors import ConfigError

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text("utf-8")
SECRET = "s3cret!id"  # not of STS's form, so that it is always a fault
ROOT: Any = yaml.safe_load(EXAMPLE)
LOCATIONS = [location for location in parse(EXAMPLE, "", {"PARTNER_EXTERNAL_ID": "x"}).lines if location]
VALUES = st.recursive(
    st.sampled_from(
        [None, True, 0, -1, 1.5, "", "x", "/x", "a\nb", "${", "${X}", "auto", "1e9", "\u2028", 10**30, float("nan")]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "a\nb", "0", "[key]", 5]), inner)
    ),
    max_leaves=6,
)


def outcome(path: Path) -> Config | list[str]:
    try:
        return load(path, {"PARTNER_EXTERNAL_ID": SECRET})
    except ConfigError as error:
        return error.faults


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(LOCATIONS), VALUES, st.sampled_from(LOCATIONS), VALUES)
def test_odd_values(tmp_path: Path, one: Location, first: object, other: Location, second: object) -> None:
    """Any values in any two places give lines with file, line and message, and no line shows the external ID."""
    root = copy.deepcopy(ROOT)
    for location, value in ((one, first), (other, second)):
        section: Any = root
        for step in location[:-1]:
            if not isinstance(section, (dict, list)) or (isinstance(section, dict) and step not in section):
                return
            if isinstance(section, list):
                if not isinstance(step, int) or step >= len(section):
                    return
                section = section[step]
            else:
                section = section[step]
        if not isinstance(section, dict):
            return
        section[location[-1]] = value
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(root, allow_unicode=True), "utf-8")
    found = outcome(path)
    if isinstance(found, list):
        assert found
        assert all(line.startswith(f"{path}:") and line.isprintable() and SECRET not in line for line in found)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.binary(max_size=40) | st.text("ab:-[]{}&*!|>'\"%@`#?,\n\t $<", max_size=40).map(str.encode),
    st.integers(0, len(EXAMPLE)),
)
def test_odd_text(tmp_path: Path, odd: bytes, at: int) -> None:
    """Any bytes anywhere in a file give a configuration or lines."""
    path = tmp_path / "c.yaml"
    path.write_bytes(EXAMPLE.encode()[:at] + odd + EXAMPLE.encode()[at:])
    found = outcome(path)
    assert isinstance(found, Config) or all(line.isprintable() and SECRET not in line for line in found)
