"""Metrics out of log events: `logs.metrics`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.model.conditions import Condition
from sidecar.model.conditions.lexer import ABSENT, text_of
from sidecar.model.conditions.mapping import find
from sidecar.model.events import LogEvent
from sidecar.model.limits import VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Sample
from sidecar.model.template import Template


@dataclass(slots=True)
class LogMetric:
    """One rule of `logs.metrics`.

    Attributes:
        when: which events it is of; None for all.
        name, namespace, unit, resolution: of its samples; None for the configured default.
        kind: what its samples measure.
        value: the path of the field with the value; None counts events.
        dimensions: {name: template}.
        hits: events that matched.
    """

    when: Condition | None
    name: str
    kind: Kind
    value: str | None
    dimensions: Mapping[str, Template]
    namespace: str | None = None
    unit: str | None = None
    resolution: int | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        """Split the path, and sort the dimensions by name, as samples have them."""
        self.dimensions = dict(sorted(self.dimensions.items()))

    def sample(self, event: LogEvent) -> Sample | None:
        """The sample of an event, at the event's own time; None where the field has no number."""
        values: tuple[float, ...] = (1.0,)
        members: tuple[str, ...] = ()
        if self.value is not None:
            value = find(event.fields, self.value, tuple(self.value.split(".")))
            if self.kind is Kind.SET:
                text = text_of(value)
                if text is None:
                    return None
                values, members = (), (text,)
            elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= VALUE_MAGNITUDE:
                values = (float(value),)
            else:
                return None
        fields = event.fields
        return Sample(
            self.name,
            self.kind,
            values,
            (1.0,) if values else (),
            members,
            dimensions=tuple([(name, template.render(fields)) for name, template in self.dimensions.items()]),
            unit=self.unit,
            namespace=self.namespace,
            resolution=self.resolution,
            timestamp=None if event.timestamp_ms is None else event.timestamp_ms / 1_000,
        )

    def has_value(self, event: LogEvent) -> bool:
        """True if the event has the field of the value, whatever is in it."""
        if self.value is None:
            return True
        return find(event.fields, self.value, tuple(self.value.split("."))) not in (ABSENT, None)
