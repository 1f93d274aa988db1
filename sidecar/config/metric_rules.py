"""One rule of `metrics.rules`: its keys, and what they allow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic_core import core_schema

from sidecar.model import names
from sidecar.model.conditions import compile_condition
from sidecar.model.errors import DecodeError
from sidecar.model.limits import DIMENSIONS_PER_METRIC, NAME_CHARACTERS
from sidecar.model.patterns import Pattern

MAX_RULES: Final = 500
MAX_GLOBS: Final = 100  # in one list
MAX_ROLLUPS: Final = 10  # of one rule
SHOWN_CHARACTERS: Final = 100  # of a pattern in an error
MAX_SCALE: Final = 1e9  # the smallest is one part of it
EFFECTS: Final = (
    *("drop", "name", "namespace", "unit", "resolution", "percentiles", "signed_gauges", "scale"),
    *("keep_dimensions", "drop_dimensions", "rename_dimensions", "dimensions", "rollups", "max_series"),
)
"""The keys of a rule that change what becomes of a metric; the others say when it applies."""

_PLACES: Final = re.compile(r"\{[^{}]+\}")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _texts(value: object) -> object:
    """One value, or a list of them, as a list; YAML reads `500` and `true` as a number and a truth value."""
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool | int) else one for one in values]


def _match(value: object) -> object:
    given = value if isinstance(value, list) else [value]
    patterns = [one for one in given if isinstance(one, str)]
    if not 0 < len(given) <= MAX_GLOBS or len(patterns) < len(given):
        raise ValueError(f"must be a glob, or a list of 1-{MAX_GLOBS} globs")
    for one in patterns:
        try:
            Pattern(one)
        except ValueError as error:
            raise ValueError(f"{one[:SHOWN_CHARACTERS]!r} {error}") from None
    return value


def _glob(text: str) -> str:
    Pattern(text, holes=False)
    return text


def _inputs(when: dict[str, list[str]]) -> dict[str, list[str]]:
    for glob in when.get("input", ()):
        if not any(Pattern(glob, holes=False).match(name) is not None for name in names.INPUTS):
            raise ValueError(f"input {glob[:SHOWN_CHARACTERS]!r} is none of {', '.join(names.INPUTS)}")
    return when


def _when(value: object, mapping: ValidatorFunctionWrapHandler) -> object:
    """A filter pattern for JSON, or a mapping."""
    if not isinstance(value, str):
        return mapping(value)
    if not value.lstrip().startswith("{"):
        raise ValueError('must be a mapping, or a filter pattern in braces, such as { $.env = "prod*" }')
    compile_condition(value)
    return value


def _unit(name: str) -> str:
    _checked(names.unit, name)
    return name


def _dimension_name(name: str) -> str:
    _checked(lambda one: names.dimensions(((one, "x"),)), name)
    return name


def _name_template(text: str) -> str:
    _checked(names.metric_name, _filled(text))
    return text


def _namespace_template(text: str) -> str:
    _checked(names.namespace, _filled(text))
    return text


def _value_template(text: str) -> str:
    _checked(lambda one: names.dimensions((("x", one),)), _filled(text))
    return text


def _filled(text: str) -> str:
    """A template with its placeholders filled in, so that the rest of it can be checked."""
    filled = _PLACES.sub("x", text)
    if set(filled) & {"{", "}"}:
        raise ValueError("must be text with {field} places, every brace closed")
    return filled


def _checked(check: Callable[[str], object], text: str) -> None:
    try:
        check(text)
    except DecodeError as error:
        raise ValueError(error.detail) from None


Glob = Annotated[str, AfterValidator(_glob)]
Globs = Annotated[list[Glob], BeforeValidator(_listed), Field(min_length=1, max_length=MAX_GLOBS)]
_Mapping = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS)],
        Annotated[list[Glob], BeforeValidator(_texts), Field(min_length=1, max_length=MAX_GLOBS)],
    ],
    Field(max_length=DIMENSIONS_PER_METRIC),
    AfterValidator(_inputs),
]
When = Annotated[
    str | dict[str, list[str]],
    # A union would put the types it tries into the path of an error.
    GetPydanticSchema(
        lambda _, schema: core_schema.no_info_wrap_validator_function(
            _when, schema(_Mapping), serialization=core_schema.plain_serializer_function_ser_schema(lambda when: when)
        )
    ),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]
DimensionName = Annotated[str, AfterValidator(_dimension_name)]
RollupSets = Annotated[
    list[Annotated[list[DimensionName], Field(max_length=DIMENSIONS_PER_METRIC)]], Field(max_length=MAX_ROLLUPS)
]
Scale = Annotated[float, Field(ge=1 / MAX_SCALE, le=MAX_SCALE)]


class MetricRule(BaseModel):
    """A rule on metrics; all that match apply, in their order."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    match: Annotated[Any, AfterValidator(_match)]  # a pattern, or a list of them
    unit: Annotated[str, AfterValidator(_unit)] | None = None
    resolution: Literal[1, 60] | None = None
    percentiles: bool | None = None
    signed_gauges: Literal["auto", "delta", "value"] | None = None
    when: When = {}
    stop: bool = False
    drop: bool | None = None
    name: Annotated[str, AfterValidator(_name_template)] | None = None
    namespace: Annotated[str, AfterValidator(_namespace_template)] | None = None
    scale: Scale | None = None
    keep_dimensions: Annotated[list[Glob], BeforeValidator(_listed), Field(max_length=MAX_GLOBS)] | None = None
    drop_dimensions: Globs | None = None
    rename_dimensions: Annotated[dict[str, DimensionName], Field(max_length=DIMENSIONS_PER_METRIC)] | None = None
    dimensions: (
        Annotated[
            dict[DimensionName, Annotated[str, AfterValidator(_value_template)]],
            Field(max_length=DIMENSIONS_PER_METRIC),
        ]
        | None
    ) = None
    rollups: RollupSets | None = None
    max_series: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @property
    def patterns(self) -> list[str]:
        """What it matches, as patterns of which one must match."""
        return list(self.match) if isinstance(self.match, list) else [str(self.match)]

    @property
    def effects(self) -> dict[str, Any]:
        """The keys that it sets, with their values, of those that change what becomes of a metric."""
        return {key: value for key in EFFECTS if (value := getattr(self, key)) is not None}

    @model_validator(mode="after")
    def _consistent(self) -> MetricRule:
        if not self.effects and not self.stop:
            raise ValueError(f"sets nothing; it needs stop: true or one of {', '.join(EFFECTS)}")
        if self.keep_dimensions is not None and self.drop_dimensions is not None:
            raise ValueError("has keep_dimensions and drop_dimensions: a rule has one of the two")
        if self.signed_gauges is not None and self.when:
            raise ValueError("has signed_gauges and when: a gauge's sign is read before its dimensions are")
        if self.drop and len(self.effects) > 1:
            others = ", ".join(key for key in self.effects if key != "drop")
            raise ValueError(f"drops the metric, so that {others} would have no effect")
        holes = [set(Pattern(one).holes) for one in self.patterns]
        if any(one != holes[0] for one in holes):
            raise ValueError("has patterns with different holes: each pattern of a rule needs the same")
        return self

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the keys that have their defaults: most of them."""
        fields = type(self).model_fields
        return {key: value for key, value in write(self).items() if value != fields[key].default}
