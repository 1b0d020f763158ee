"""The bandwidth setting: one rate, or a schedule of rates."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema, model_validator

from crosshaul.config.types import Section
from crosshaul.config.units import parse_rate


def _time_of_day(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError(f"{value!r} is not a time of day; write HH:MM")
    hours, minutes = value.split(":")
    return time(int(hours), int(minutes))


class BandwidthStep(Section):
    """A rate in bytes per second (None = no limit) that applies from ``start`` in local time (None = always)."""

    start: Annotated[time | None, BeforeValidator(_time_of_day)] = None
    bytes_per_second: Annotated[int | None, BeforeValidator(parse_rate)] = None

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: object) -> object:
        if isinstance(value, (list, tuple)):
            if [type(item) for item in value] != [str, str]:
                raise ValueError('a step needs a time and a rate; write for example ["08:00", "2MiB/s"]')
            return {"start": value[0], "bytes_per_second": value[1]}
        return value


def _steps(value: object) -> object:
    if value is None or value == "off":
        return ()
    return value if isinstance(value, (list, tuple)) else ({"bytes_per_second": parse_rate(value)},)


def _sorted_by_start(steps: tuple[BandwidthStep, ...]) -> tuple[BandwidthStep, ...]:
    starts = [step.start for step in steps if step.start is not None]
    if len(set(starts)) != len(starts):
        raise ValueError("two steps have the same time; remove one of them")
    return tuple(sorted(steps, key=lambda step: step.start or time.min))


_RATE_SCHEMA = {"type": ["string", "integer"], "minimum": 1}
_PAIR_SCHEMA = {"type": "array", "prefixItems": [{"type": "string"}, _RATE_SCHEMA], "minItems": 2, "maxItems": 2}
Bandwidth = Annotated[
    tuple[BandwidthStep, ...],
    BeforeValidator(_steps),
    AfterValidator(_sorted_by_start),
    WithJsonSchema({"anyOf": [_RATE_SCHEMA, {"type": "array", "items": _PAIR_SCHEMA}, {"type": "null"}]}),
]
