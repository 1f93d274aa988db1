"""The rules of log events: `logs.redact`, `logs.routes` and `logs.metrics`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sidecar.config import checks
from sidecar.config.metric_rules import RollupSets, Scale
from sidecar.model import names
from sidecar.model.conditions import compile_condition
from sidecar.model.errors import DecodeError
from sidecar.model.limits import DIMENSION_VALUE_CHARACTERS
from sidecar.model.regex import compile_regex

MAX_REWRITES: Final = 100  # of one dimension
REDACT_KEY: Final = "SIDECAR_REDACT_KEY"
"""The environment variable with the key of hashes: in the file it would be shown with the effective configuration."""


def _when(when: object) -> object:
    if not isinstance(when, str | dict):
        raise ValueError("must be a filter pattern, or a mapping of fields to their values")  # noqa: TRY004
    compile_condition(when)
    return when


def _pattern(pattern: str) -> str:
    if compile_regex(pattern).search("") is not None:
        raise ValueError("must not match an empty text")
    return pattern


def _expression(pattern: str) -> str:
    compile_regex(pattern)
    return pattern


def _dimensions(templates: dict[str, str]) -> dict[str, str]:
    try:
        names.dimensions(tuple((name, "x") for name in templates))
    except DecodeError as error:
        raise ValueError(error.detail) from None
    for template in templates.values():
        checks.template(template)
    return templates


When = Annotated[Any, AfterValidator(_when)]
Field_ = Annotated[str, Field(min_length=1, max_length=255)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Finders = Literal["email", "card", "aws_key", "jwt", "bearer", "private_key"]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RedactRule(_Rule):
    """What is removed from log events, before anything else sees them; every rule applies."""

    find: Annotated[list[Finders], Field(min_length=1)] | None = None
    fields: Annotated[list[Field_], Field(min_length=1, max_length=1_000)] | None = None
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    replace: Literal["mask", "hash", "drop_event"] = "mask"
    name: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> RedactRule:
        if sum(one is not None for one in (self.find, self.fields, self.pattern)) != 1:
            raise ValueError("needs exactly one of find, fields, pattern")
        return self


class LogRoute(_Rule):
    """Where log events go, or that they are dropped; the first that matches decides."""

    when: When = {}
    group: Annotated[str, AfterValidator(checks.group_template)] | None = None
    stream: Annotated[str, AfterValidator(checks.stream_template)] | None = None
    retention_days: Annotated[int, AfterValidator(checks.retention)] | None = None
    class_: Annotated[Literal["STANDARD", "INFREQUENT_ACCESS"] | None, Field(alias="class")] = None
    drop: bool = False
    sample: Annotated[float, Field(gt=0, le=1)] | None = None
    by: Field_ | None = None

    @model_validator(mode="after")
    def _possible(self) -> LogRoute:
        given = [name for name in ("group", "stream", "retention_days", "class_", "sample") if getattr(self, name)]
        if self.drop and given:
            raise ValueError(f"drops events: {given[0].rstrip('_')} would have no effect")
        if self.group is None and (self.retention_days is not None or self.class_ is not None):
            raise ValueError("needs group: retention_days and class are of the group that it names")
        if self.by is not None and self.sample is None:
            raise ValueError("needs sample: by is the field by which events are sampled")
        return self


class Rewrite(_Rule):
    """A change of the value of a dimension by a pattern: each match is replaced, or the whole value."""

    pattern: Annotated[str, AfterValidator(_expression)]
    with_: Annotated[str | None, Field(alias="with", max_length=DIMENSION_VALUE_CHARACTERS)] = None
    value: Annotated[str, Field(min_length=1, max_length=DIMENSION_VALUE_CHARACTERS)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Rewrite:
        if (self.with_ is None) == (self.value is None):
            raise ValueError("needs with, for each match, or value, for the whole value; not both")
        if self.with_ is not None:
            _pattern(self.pattern)
        return self


class LogMetric(_Rule):
    """A metric from log events: one sample of each event that matches."""

    when: When = {}
    name: Annotated[str, AfterValidator(checks.metric_name)]
    namespace: Annotated[str, AfterValidator(checks.namespace)] | None = None
    value: Field_ | None = None
    type: Literal["counter", "gauge", "timer", "histogram", "distribution", "set"] | None = None
    unit: Annotated[str, AfterValidator(checks.unit)] | None = None
    resolution: Literal[1, 60] | None = None
    scale: Scale | None = None
    dimensions: Annotated[dict[str, str], AfterValidator(_dimensions)] = {}
    rewrite: dict[str, Annotated[list[Rewrite], Field(min_length=1, max_length=MAX_REWRITES)]] = {}
    rollups: RollupSets = []

    @model_validator(mode="after")
    def _possible(self) -> LogMetric:
        if self.scale is not None and (self.value is None or self.type == "set"):
            raise ValueError("needs value, a number: scale is what it is multiplied by")
        for name in self.rewrite:
            if name not in self.dimensions:
                raise ValueError(f"rewrites {name!r}, which is not one of its dimensions")
        if self.value is None and self.type not in (None, "counter"):
            raise ValueError(f"needs value: without one events are counted, and type is {self.type}")
        return self
