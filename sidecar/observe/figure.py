"""The type of a self-metric, and the sources from which its values are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from sidecar.observe.health import Health
from sidecar.observe.ledger import Ledger


class Histogram(NamedTuple):
    """The value of a histogram: `buckets` are (upper bound, observations of at most that), cumulative, "+Inf" last."""

    buckets: list[tuple[str, int]]
    sum: float


Labels: TypeAlias = tuple[str, ...]
Values: TypeAlias = Iterable[tuple[Labels, float | Histogram]]
"""Label values, in the order of `Figure.labels`, and the value. Empty where it is not available."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the figures are read from.

    Attributes:
        ledger: the counts.
        health: the state of delivery and of the spool.
        series: returns the number of distinct series in the last hour.
        stall_seconds: returns the longest event-loop stall in the last two minutes.
        checkpoint_age: returns the seconds since the last checkpoint; None without a spool.
        log_lines_dropped: returns the number of log lines that were not written.
        rule_hits: returns each rule of the configuration with the number of samples or log events it applied to.
        max_series: `metrics.max_series`; None where there is no such limit.
        memory: returns {signal: (bytes of closed batches in memory, the most that may be)}.
        cost: returns dollars a month by kind.
    """

    ledger: Ledger
    health: Health
    series: Callable[[], int]
    stall_seconds: Callable[[], float]
    checkpoint_age: Callable[[], float] | None = None
    log_lines_dropped: Callable[[], int] = lambda: 0
    rule_hits: Callable[[], Iterable[tuple[str, int]]] = tuple
    max_series: int | None = None
    memory: Callable[[], Mapping[str, tuple[int, int]]] = dict
    cost: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True, slots=True)
class Figure:
    """One self-metric.

    Attributes:
        name: as Prometheus shows it; counters end with `_total`.
        kind: its type in Prometheus.
        help: one sentence.
        read: returns the values; called from the event loop.
        labels: the names of its labels; each has a bounded set of values.
        unit: the base unit with which the name ends; empty for plain numbers.
        loss: True if a value above zero means that data was lost.
        no_loss: values of its label that mean no loss.
        path: where `/stats` has it: keys separated by dots, below which the label values nest. A label in braces is
            part of the path. Empty where `/stats` shows the state it is derived from instead.
        total_path: where `/stats` has the sum over all label values; empty for nowhere.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[Sources], Values]
    labels: Labels = ()
    unit: str = ""
    loss: bool = False
    no_loss: tuple[str, ...] = ()
    path: str = ""
    total_path: str = ""
