"""YAML read into plain values, with the line that each one stands on. The only user of yaml.

A scalar is the text that stands in the file (None for null): ``0123``, ``off`` and ``19:00`` mean what they look like,
and what type a value has is said by the model alone. ``${VAR}`` is expanded in scalars after parsing, so that a
variable's value can never be read as YAML.
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
"""More than any real file has; anchors that multiply each other stop here."""
_MAX_DEPTH = 50
_VARIABLE = re.compile(r"\$(?:\$|\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^${}]*))?\}|))")
_STANDARD_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "timestamp", "value")
)
_NULL = "tag:yaml.org,2002:null"
_QUOTED = re.compile("'[^']*'")


@dataclass(slots=True)
class YamlDocument:
    """A parsed file. ``lines`` counts from 1; ``faults`` are (line, location, sentence)."""

    root: Value = None
    lines: dict[Location, int] = field(default_factory=dict)
    faults: list[tuple[int, Location, str]] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """The line of a location, or of the nearest thing around it that stands in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def written(value: object) -> str:
    """Plain values as YAML, in their order."""
    return yaml.safe_dump(value, sort_keys=False, width=120)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> YamlDocument:
    """Parse one file's text; ConfigError with one line, which begins with ``name``, if it is no YAML."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        document = _DocumentBuilder(environment).build(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            [f"{name}:{line}: character U+{error.character:04X} can't stand in YAML; remove it"]
        ) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_fault(error, name)]) from None
    except RecursionError:
        raise ConfigError([f"{name}:1: it is nested too deeply; see config.example.yaml for its shape"]) from None
    if node is None:
        raise ConfigError([f"{name}:1: the file is empty; write at least state_dir, destinations and routes"])
    return document


def _syntax_fault(error: yaml.MarkedYAMLError, name: str) -> str:
    """One line for a syntax error. Quoted pieces of the file are left out: an external ID could be among them."""
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}" if mark else name
    column = f" at column {mark.column + 1}" if mark else ""
    said = " ".join((error.problem or error.context or "unknown").split())
    problem = _QUOTED.sub(lambda quoted: quoted[0] if _is_token(quoted[0]) else "...", said)
    cure = (
        "quote text that begins with * & ! % @ ` or holds ': ', and ${...} inside { } or [ ]; indent with spaces only"
    )
    return f"{where}: not YAML{column}: {problem}; {cure}"


def _is_token(quoted: str) -> bool:
    return quoted.startswith("'<") or len(quoted) <= len(r"'\t'")


class _DocumentBuilder(yaml.constructor.SafeConstructor):
    """Walks the nodes. SafeConstructor serves for merge keys (``<<``) alone."""

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
        """``key`` is the node whose line stands for the value: its key in a mapping, itself in a list."""
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
                message = f"stands here again after line {first[key.value]}; keep one of the two"
                self._fault(key, (*location, key.value), message)
            elif isinstance(key, yaml.ScalarNode):
                first[key.value] = key.start_mark.line + 1

    def _scalar(self, node: yaml.Node, location: Location) -> str | None:
        if node.tag == _NULL:
            return None
        if node.tag not in _STANDARD_TAGS:
            self._fault(node, location, "YAML tags (!...) are not understood; quote text that begins with !")
        text = _VARIABLE.sub(lambda reference: self._expanded(reference, node, location), node.value)
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self._fault(node, location, "it holds a NUL or half of a surrogate pair; remove it")
        return text

    def _expanded(self, reference: re.Match[str], node: yaml.Node, location: Location) -> str:
        name, default = reference[1], reference[2]
        if reference[0] == "$$":
            return "$"
        if name is None:
            self._fault(
                node, location, "${ doesn't begin a variable; write ${NAME} or ${NAME:-default}, or $${ for itself"
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
