"""Parse YAML into plain values with line numbers. The only user of yaml.

A scalar is the text in the file (None for null): ``0123``, ``off`` and ``19:00`` mean what they look like, and only the
model decides the type of a value. ``${VAR}`` is expanded in scalars after parsing, so that the value of a variable is
never parsed as YAML.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from crosshaul.errors import ConfigError

Value = str | None | list["Value"] | dict[str, "Value"]
Location = tuple[str | int, ...]

_MAX_NODES = 100_000
"""More than any real file has; a limit for anchors that multiply each other."""
_MAX_DEPTH = 50
_VARIABLE = re.compile(r"\$(?:\$|\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^${}]*))?\}|))")
_STANDARD_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "timestamp", "value")
)
_NULL = "tag:yaml.org,2002:null"
_QUOTED = re.compile("'[^']*'")


@dataclass(slots=True)
class YamlDocument:
    """A parsed file. ``lines`` counts from 1; ``faults`` are (line, location, message)."""

    root: Value = None
    lines: dict[Location, int] = field(default_factory=dict)
    faults: list[tuple[int, Location, str]] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Return the line of a location, or of the nearest enclosing one that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def dump(value: object) -> str:
    """Format plain values as YAML, in their order."""
    return yaml.safe_dump(value, sort_keys=False, width=120)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> YamlDocument:
    """Parse the text of a file; raises ConfigError with one line, which starts with ``name``, if it is not YAML."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        document = _DocumentBuilder(environment).build(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            [f"{name}:{line}: character U+{error.character:04X} is not allowed in YAML; remove it"]
        ) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_fault(error, name)]) from None
    except RecursionError:
        raise ConfigError([f"{name}:1: nested too deeply; see config.example.yaml"]) from None
    if node is None:
        raise ConfigError([f"{name}:1: the file is empty; write at least state_dir, destinations and routes"])
    return document


def _syntax_fault(error: yaml.MarkedYAMLError, name: str) -> str:
    """Describe a syntax error in one line, without quotes from the file, which could be an external ID."""
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}" if mark else name
    column = f" at column {mark.column + 1}" if mark else ""
    text = " ".join((error.problem or error.context or "unknown").split())
    problem = _QUOTED.sub(lambda quoted: quoted[0] if _is_token(quoted[0]) else "...", text)
    hint = "quote text that starts with * & ! % @ ` or contains ': ', and ${...} inside { } or [ ]; indent with spaces"
    return f"{where}: invalid YAML{column}: {problem}; {hint}"


def _is_token(quoted: str) -> bool:
    return quoted.startswith("'<") or len(quoted) <= len(r"'\t'")


class _DocumentBuilder(yaml.constructor.SafeConstructor):
    """Build a document from YAML nodes. SafeConstructor is used for merge keys (``<<``) only."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self._environment = environment
        self._document = YamlDocument()
        self._count = 0

    def build(self, node: yaml.Node | None) -> YamlDocument:
        if node is not None:
            self._document.root = self._value(node, (), node)
        return self._document

    def _value(self, node: yaml.Node, location: Location, key: yaml.Node) -> Value:
        """Convert a node; ``key`` is the node that gives the line: the key in a mapping, the item in a list."""
        self._document.lines[location] = key.start_mark.line + 1
        self._count += 1
        if self._count > _MAX_NODES or len(location) > _MAX_DEPTH:
            raise RecursionError
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*location, index), item) for index, item in enumerate(node.value)]
        return self._scalar(node, location)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> Value:
        self._report_duplicates(node, location)
        self.flatten_mapping(node)
        values: dict[str, Value] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                values[key.value] = self._value(value, (*location, key.value), key)
            else:
                self._fault(key, location, "a key must be plain text; see config.example.yaml")
        return values

    def _report_duplicates(self, node: yaml.MappingNode, location: Location) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in first:
                message = f"duplicate key, also on line {first[key.value]}; remove one of the two"
                self._fault(key, (*location, key.value), message)
            elif isinstance(key, yaml.ScalarNode):
                first[key.value] = key.start_mark.line + 1

    def _scalar(self, node: yaml.Node, location: Location) -> str | None:
        if node.tag == _NULL:
            return None
        if node.tag not in _STANDARD_TAGS:
            self._fault(node, location, "YAML tags (!...) are not supported; quote text that starts with !")
        text = _VARIABLE.sub(lambda reference: self._expanded(reference, node, location), node.value)
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self._fault(node, location, "contains a NUL or half of a surrogate pair; remove it")
        return text

    def _expanded(self, reference: re.Match[str], node: yaml.Node, location: Location) -> str:
        name, default = reference[1], reference[2]
        if reference[0] == "$$":
            return "$"
        if name is None:
            self._fault(
                node,
                location,
                "${ does not start a variable; write ${NAME} or ${NAME:-default}, or $${ for a literal ${",
            )
            return ""
        value = self._environment.get(name)
        if default is not None:
            return value or default
        if value is None:
            message = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            self._fault(node, location, message)
        return value or ""

    def _fault(self, node: yaml.Node, location: Location, message: str) -> None:
        self._document.faults.append((node.start_mark.line + 1, location, message))
