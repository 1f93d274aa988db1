"""What is used in a month, and what it costs, computed from counts of the caller. Pure.

It is in this folder because the number of series determines the bill, and folding limits it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.model.prices import HOURS_PER_MONTH, Prices
from sidecar.model.samples import Series

KINDS: Final = ("metrics", "requests", "logs", "log_storage")
DIMENSIONS: Final = 30  # of one metric that are examined: those with the most values
SERIES_AT_ONCE: Final = 64
MONTH_SECONDS: Final = HOURS_PER_MONTH * 3_600
WINDOW_SECONDS: Final = 12 * 3_600.0  # rates are those of the last one to two of these
YOUNG_SECONDS: Final = 60.0  # the shortest time of a rate: over less, a burst would count as the rate
BUDGET_SECONDS: Final = 3_600.0  # the same for the budget: a burst of log events after the start must not fold series


class LogUsage(NamedTuple):
    """Log events of one class and retention: bytes a month, uncompressed, with 26 for each event."""

    month_bytes: float
    log_class: str | None
    retention_days: int | None


class Usage(NamedTuple):
    """What one sidecar uses in a month at the present rate.

    Attributes:
        shared: metric-months of series that other sidecars may send as well.
        instance: metric-months of series that name this instance.
        requests: PutMetricData requests.
        logs: log events.
    """

    shared: float
    instance: float
    requests: float
    logs: tuple[LogUsage, ...]


def bill(usage: Usage, prices: Prices, replicas: int = 1) -> dict[str, float]:
    """Dollars a month by kind, for so many sidecars with the same usage: series that several send are billed once."""
    return {
        "metrics": prices.metrics(usage.shared + usage.instance * replicas),
        "requests": prices.requests(usage.requests) * replicas,
        "logs": sum([prices.log_ingestion(size, log_class) for size, log_class, _ in usage.logs]) * replicas,
        "log_storage": sum([prices.log_storage(size, days) for size, _, days in usage.logs]) * replicas,
    }


def affordable_series(dollars: float, usage: Usage, prices: Prices, replicas: int = 1) -> float:
    """How many series a budget (dollars a month) allows besides requests and logs; 0 where these exceed it."""
    other = bill(usage, prices, replicas) | {"metrics": 0.0}
    return prices.metrics_for(dollars - sum(other.values()))


class Totals(NamedTuple):
    """Counts since the process started: requests, and bytes of log events by group."""

    requests: int
    log_bytes: Mapping[str, int]


@dataclass(slots=True)
class _Since:
    seconds: float
    totals: Totals


class Rates:
    """Requests and bytes a month, from totals over the last 12 to 24 hours, or since the process started."""

    def __init__(self, now: float, totals: Totals) -> None:
        """Begin at `now` (monotonic seconds) with these totals."""
        self._earlier = self._later = _Since(now, Totals(totals.requests, dict(totals.log_bytes)))

    def month(self, now: float, totals: Totals, at_least: float = YOUNG_SECONDS) -> Totals:
        """The totals of a month at the present rate.

        Args:
            now: monotonic seconds.
            totals: at this time.
            at_least: the shortest time of the rate, in seconds.
        """
        begun = self._earlier
        factor = MONTH_SECONDS / max(at_least, now - begun.seconds)
        if now - self._later.seconds >= WINDOW_SECONDS:
            totals = Totals(totals.requests, dict(totals.log_bytes))
            self._earlier, self._later = self._later, _Since(now, totals)
        before = begun.totals
        return Totals(
            round((totals.requests - before.requests) * factor),
            {
                group: round((size - before.log_bytes.get(group, 0)) * factor)
                for group, size in totals.log_bytes.items()
            },
        )


class DimensionUse(NamedTuple):
    """One dimension of a metric: the number of its distinct values, and of the series without this dimension."""

    values: int
    series_without: int


def dimension_use(series: Sequence[Series], use: dict[str, DimensionUse]) -> Iterator[None]:
    """Fill `use`, by name of dimension: those with the most values first, at most `DIMENSIONS` of them.

    Yields each time `SERIES_AT_ONCE` series were looked at, so that the caller can yield to the event loop: after about 0.1 ms.
    """
    values: dict[str, set[str]] = {}
    for number, one in enumerate(series):
        for name, value in one.dimensions:
            values.setdefault(name, set()).add(value)
        if number % SERIES_AT_ONCE == 0:
            yield
    counts = {name: len(of_name) for name, of_name in values.items()}
    while values:  # freeing large sets takes time, too
        values.popitem()
        yield
    for name in sorted(counts, key=lambda name: (-counts[name], name))[:DIMENSIONS]:
        without: set[int] = set()
        for number, one in enumerate(series):
            # A hash is a quarter of the memory; two that are equal by chance do not matter to an estimate.
            without.add(hash(tuple([pair for pair in one.dimensions if pair[0] != name])))
            if number % SERIES_AT_ONCE == 0:
                yield
        use[name] = DimensionUse(counts[name], len(without))
