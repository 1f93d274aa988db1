"""Metrics from log events: `logs.metrics`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TypeAlias

from sidecar.model.conditions import Condition
from sidecar.model.conditions.lexer import text_of
from sidecar.model.conditions.mapping import find
from sidecar.model.limits import VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Rollups, Sample
from sidecar.model.template import Template
from sidecar.shape.rewrite import Rewriting

Number: TypeAlias = float | str
"""What is measured: a number; of a set, the text of a member."""


class LogMetric:
    """One rule of `logs.metrics`.

    Attributes:
        when: which events it is of; None for all.
        name: the metric's.
        hits: events that matched.
    """

    __slots__ = (
        "_kind", "_names", "_namespace", "_path", "_prefix", "_resolution", "_rewritings", "_rollups", "_scale", "_steps",
        "_templates", "_unit", "hits", "name", "when",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        when: Condition | None,
        name: str,
        kind: Kind,
        value: str | None,
        dimensions: Mapping[str, Template],
        *,
        namespace: str | None = None,
        unit: str | None = None,
        resolution: int | None = None,
        scale: float = 1.0,
        rewritings: Mapping[str, Rewriting] | None = None,
        rollups: Rollups = (),
    ) -> None:
        """Read the rule.

        Args:
            index: its place in the configuration.
            when: which events it is of; None for all.
            name: the metric's.
            kind: what its samples measure.
            value: the path of the field with the value; None counts events.
            dimensions: {name: template}.
            namespace: None for the configured default.
            unit: None for that of the kind.
            resolution: seconds; None for the configured default.
            scale: what the value is multiplied by.
            rewritings: {name of a dimension: what its value is rewritten by}.
            rollups: the sets of dimensions to add up over.
        """
        self.when = when
        self.name = name
        self.hits = 0
        self._prefix = f"\0log metric {index}"
        self._kind = kind
        self._path = value
        self._steps = () if value is None else tuple(value.split("."))
        self._names = tuple(sorted(dimensions))  # as samples have them
        self._templates = tuple([dimensions[name] for name in self._names])
        self._rewritings = [(self._names.index(name), one) for name, one in (rewritings or {}).items()]
        self._rollups = rollups
        self._scale = scale
        self._namespace = namespace
        self._unit = unit
        self._resolution = resolution

    def measure(self, fields: Mapping[str, object]) -> Number | bool:
        """Find the value in the fields of an event.

        Returns:
            The value. False where the event has no such field, or null in it; True where its value is not a
            number, or for a set is an object or array.
        """
        path = self._path
        if path is None:
            return 1.0
        value = fields.get(path) if len(self._steps) == 1 else find(fields, path, self._steps)
        if value.__class__ is int or value.__class__ is float:
            if self._kind is Kind.SET:
                return str(value)
            scaled = value * self._scale if abs(value) <= VALUE_MAGNITUDE else inf
            return scaled if abs(scaled) <= VALUE_MAGNITUDE else True
        if self._kind is Kind.SET and isinstance(value, str | bool):
            return text_of(value) or ""
        return isinstance(value, str | bool | dict | list)

    def dimensions(self, fields: Mapping[str, object]) -> tuple[str, ...]:
        """The values of the dimensions, in the order of their names."""
        values = [template.render(fields) for template in self._templates]
        for place, rewriting in self._rewritings:
            values[place] = rewriting.apply(values[place])
        return tuple(values)

    def key(self, dimensions: tuple[str, ...]) -> bytes:
        """The same for all events whose samples are of the same series; no document of JSON is like it."""
        return "\0".join((self._prefix, *dimensions)).encode("utf-8", "surrogatepass")

    def sample(self, value: Number, dimensions: tuple[str, ...], timestamp: float | None) -> Sample:
        """The sample of a value and dimensions, at a time (seconds since the epoch, or None for that of arrival)."""
        return Sample(
            self.name,
            self._kind,
            () if isinstance(value, str) else (value,),
            () if isinstance(value, str) else (1.0,),
            (value,) if isinstance(value, str) else (),
            dimensions=tuple(zip(self._names, dimensions, strict=True)),
            unit=self._unit,
            namespace=self._namespace,
            resolution=self._resolution,
            timestamp=timestamp,
            rollups=self._rollups,
        )
