"""Samples and series: one decoded measurement, and the identity of a CloudWatch metric."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

Dimensions: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of name and value, sorted by name, names distinct."""


Rollups: TypeAlias = tuple[tuple[str, ...], ...]
"""Sets of names of dimensions, each sorted; an empty set adds everything up."""

Form: TypeAlias = Literal["statistics", "values", "set"]
"""What a datum has: a statistic set, values with counts, or the number of distinct members of a set."""

SignedGauges: TypeAlias = Literal["auto", "delta", "value"]
"""How a StatsD gauge with a sign is read: as a change, as a value, or by the dialect of its line."""


class Kind(Enum):
    """What a sample measures; decides how it is aggregated and its unit where none is given."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"
    HISTOGRAM = "histogram"
    DISTRIBUTION = "distribution"
    SAMPLE = "sample"  # JSON without a type
    SET = "set"


DEFAULT_UNIT: dict[Kind, str] = {
    Kind.COUNTER: "Count",
    Kind.GAUGE: "None",
    Kind.TIMER: "Milliseconds",
    Kind.HISTOGRAM: "None",
    Kind.DISTRIBUTION: "None",
    Kind.SAMPLE: "None",
    Kind.SET: "Count",
}


class Statistics(NamedTuple):
    """A statistic set as CloudWatch defines it; the count may be fractional."""

    sample_count: float
    sum: float
    minimum: float
    maximum: float


@dataclass(slots=True)
class Sample:
    """One decoded measurement, or several of one series that came together (packed values).

    Attributes:
        values: the measured numbers; empty for a set or a statistic set.
        weights: how many measurements each value stands for, one a value (1/rate, or `counts`).
        members: the distinct things seen, for `Kind.SET`.
        statistics: the statistic set received in place of values, or None.
        delta: True for a gauge whose value is added to its current level.
        dimensions: as the sender gave them, without the configured ones.
        unit, namespace, resolution: None where the sender gave none.
        timestamp: seconds since the epoch, or None for the time of arrival.
        adjusted: what was ignored or changed, each once, as labels of a fixed set; empty for most.
        ignored: the names of fields that were not read, ten at most, for the log.
        rollups: the sets of dimensions to add up over, where no rule of metrics says otherwise.
    """

    name: str
    kind: Kind
    values: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    members: tuple[str, ...] = ()
    statistics: Statistics | None = None
    delta: bool = False
    dimensions: Dimensions = ()
    unit: str | None = None
    namespace: str | None = None
    resolution: int | None = None
    timestamp: float | None = None
    adjusted: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    rollups: Rollups = ()

    @property
    def size(self) -> int:
        """How many samples the ledger counts this as: one a decoded value."""
        return len(self.values) or len(self.members) or 1


class Measurement(NamedTuple):
    """What one accumulator collected in one window: either `statistics`, or `values`.

    Attributes:
        samples: how many samples of the ledger it stands for.
        statistics: the statistic set, or None.
        values: distinct, ascending.
        counts: the weight of each value; None where there is one value that stands for itself.
    """

    samples: int
    statistics: Statistics | None = None
    values: tuple[float, ...] = ()
    counts: tuple[float, ...] | None = None

    @property
    def form(self) -> Form:
        """What its datum has."""
        if self.statistics is not None:
            return "statistics"
        return "set" if self.counts is None else "values"


class Series(NamedTuple):
    """The identity of a line on a CloudWatch graph, and of what one window aggregates."""

    namespace: str
    name: str
    dimensions: Dimensions
    unit: str
    resolution: int

    @property
    def memory_bytes(self) -> int:
        """Its approximate size in memory with its entry in a table; texts count in full though others may share them."""
        return 300 + len(self.name) + sum([80 + len(name) + len(value) for name, value in self.dimensions])
