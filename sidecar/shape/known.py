"""What is stored of each series of the last hour, of each metric, and of the series there may be. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from sidecar.model.samples import Form, Series
from sidecar.shape.metric_hours import MetricLevel

Kind: TypeAlias = Literal["own", "folded", "folded entirely", "rollup"]

# Flags of a series: the forms in which it was sent, and whether a dimension names this instance, so that no other sidecar
# sends it. Together they are one small integer, which Python has only once in memory.
SENT_AS: Final[dict[Form, int]] = {"statistics": 1, "values": 2, "set": 4}
OF_INSTANCE: Final = 8


@dataclass(slots=True)
class Entry:
    """One series of the last hour.

    Attributes:
        series: the one instance that everything else refers to.
        seen: monotonic seconds of its last sample.
        kind: what it is: `folded` is other than entirely, and `rollup` also one that is only known because it was sent.
        flags: see `SENT_AS` and `OF_INSTANCE`.
        rollups: the series that it is added up in.
        hour: the clock hour in which it was counted last, hours since the epoch.
    """

    series: Series
    seen: float
    kind: Kind
    flags: int
    rollups: tuple[Series, ...] = ()
    hour: int = 0


@dataclass(slots=True)
class Metric:
    """The series of one namespace and name.

    Attributes:
        series: all of them, folded ones and rollups included.
        own: how many of them are neither.
        folded: how many of them are folded, other than entirely.
        variants: their units and resolutions: series that differ in nothing else are one metric on the bill.
        level: how many were sent in this clock hour and in the one before.
    """

    series: set[Series] = field(default_factory=set)
    own: int = 0
    folded: int = 0
    variants: tuple[tuple[str, int], ...] = ()
    level: MetricLevel = field(default_factory=MetricLevel)

    def __len__(self) -> int:
        """How many series."""
        return len(self.series)


@dataclass(slots=True)
class Quota:
    """How many series there may be, and how many there are, in number and in bytes."""

    max_count: int
    max_bytes: int
    count: int = 0
    memory_bytes: int = 0

    def fits(self, size: int, share: float = 1.0) -> bool:
        """True if one more series of `size` bytes fits into this share of the quota."""
        return self.count < int(self.max_count * share) and self.memory_bytes + size <= self.max_bytes * share
