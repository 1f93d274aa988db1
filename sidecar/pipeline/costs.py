"""The estimate of the bill in dollars a month, for `/stats`, `/metrics` and `/ready`, and its comparison with `metrics.budget`.

Series are counted when they are flushed, requests and log events when they are sent. Nothing is done for each sample.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sidecar.config.cost import Budget, PriceOverrides
from sidecar.config.schema import Config
from sidecar.model.log_groups import LogGroups
from sidecar.model.prices import two_digits
from sidecar.model.samples import Series
from sidecar.pipeline.observer import Observer
from sidecar.runtime.turns import Turns
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.cost import (
    BUDGET_SECONDS,
    YOUNG_SECONDS,
    DimensionUse,
    LogUsage,
    Rates,
    Totals,
    Usage,
    affordable_series,
    bill,
    dimension_use,
)
from sidecar.shape.metric_hours import Average

REFRESH_SECONDS: Final = 5.0  # between two comparisons with the budget
WARN_SECONDS: Final = 3_600.0  # between two warnings, unless it gets worse
SHOWN_METRICS: Final = 50  # those that cost the most
SHOWN_GROUPS: Final = 10  # those with the most bytes
EXAMINED: Final = 10_000  # series of a metric whose dimensions are counted: about 10 ms for each dimension
EXAMINED_IN_ALL: Final = 50_000
MOST_OF_A_CORE: Final = 0.1  # the dimensions are counted again after ten times the time it took
NOTE: Final = "list price, without free tier or discounts"
NOT_SENT: Final = frozenset({"network"})  # outcomes of requests that did not reach the service


class _Metric(NamedTuple):
    """A metric; sorts by its series sent in an hour, hence by its price."""

    level: int
    namespace: str
    name: str
    series: int


class Costs:
    """Estimates the bill, compares it with the budget, and sets how many series the budget allows."""

    def __init__(
        self,
        config: Config,
        *,
        cardinality: Callable[[], Cardinality],
        groups: LogGroups,
        operation: str,
        observer: Observer,
    ) -> None:
        """Connect the parts.

        Args:
            config: the configuration.
            cardinality: returns the series of the last hour.
            groups: the class and retention of log groups.
            operation: of the requests that are counted as PutMetricData.
            observer: has counted requests and bytes; logs; reads the clock.
        """
        self._region = config.region
        self._prices = (config.prices or PriceOverrides()).over(config.region)
        self._budget: Budget | None = config.metrics.budget
        self._replicas = 1 if self._budget is None else self._budget.replicas
        self._retention_days = config.logs.retention_days
        self._cardinality = cardinality
        self._groups = groups
        self._operation = operation
        self._ledger = observer.ledger
        self._limiter = observer.limiter
        self._clock = observer.clock
        self._rates = Rates(self._clock.monotonic(), self._totals())
        self._share = 0.0  # of the budget
        self._warned = (
            0,
            float("-inf"),
        )  # severity (1: `at` exceeded, 2: budget exceeded), monotonic seconds of the log line
        self._metrics: list[dict[str, Any]] = []
        self._metrics_due = float("-inf")  # monotonic seconds
        self._counting = asyncio.Lock()

    async def run(self) -> None:
        """Compare the bill with the budget every five seconds."""
        while True:
            self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    def refresh(self) -> None:
        """Compare the bill with the budget; update how many series it allows, and log a warning if it is nearly spent."""
        cardinality, budget = self._cardinality(), self._budget
        cardinality.hours.begin(self._hour())
        usage, _ = self._usage(cardinality.hours.level(), BUDGET_SECONDS)
        if budget is None:
            return
        dollars = sum(bill(usage, self._prices, self._replicas).values())
        self._share = dollars / budget.dollars_per_month
        if budget.then == "fold":
            cardinality.budget_series = affordable_series(budget.dollars_per_month, usage, self._prices, self._replicas)
        severity = (self._share >= budget.at) + (self._share >= 1.0)
        worst, logged_at = self._warned
        now = self._clock.monotonic()
        if severity and (severity > worst or now - logged_at >= WARN_SECONDS):
            self._warned = (severity, now)
            self._limiter.warning(
                f"budget {severity}",
                "metrics.budget is spent" if severity > 1 else "metrics.budget is nearly spent",
                dollars_per_month=two_digits(dollars),
                budget=budget.dollars_per_month,
                share=two_digits(self._share),
                folding=cardinality.over_budget,
                fix="see cost.metrics in /stats: which dimension to drop",
            )

    def dollars(self) -> dict[str, float]:
        """Dollars a month of this sidecar, by kind, with two digits."""
        return {kind: two_digits(dollars) for kind, dollars in self._bill().items()}

    def budget(self) -> dict[str, Any] | None:
        """The state of the budget, for `/ready` and `/stats`; None where there is none.

        The share is that of a month at the rate of the last hour.
        """
        budget = self._budget
        if budget is None:
            return None
        cardinality = self._cardinality()
        shown: dict[str, Any] = {
            "dollars_per_month": budget.dollars_per_month,
            "replicas": budget.replicas,
            "share": two_digits(self._share),
            "warning": self._share >= budget.at,
            "then": budget.then,
        }
        if cardinality.budget_series is not None:
            shown |= {"folding": cardinality.over_budget, "series": _whole(cardinality.budget_series)}
        return shown

    async def summary(self) -> dict[str, Any]:
        """What `/stats` shows under `cost`; counts dimensions in slices of half a millisecond."""
        self.refresh()
        hours = self._cardinality().hours
        usage, log_bytes = self._usage(hours.average())
        dollars = bill(usage, self._prices)
        shown: dict[str, Any] = {
            "dollars_per_month": _rounded(dollars),
            "note": NOTE,
            "prices": {"date": self._prices.date, "region": self._prices.region, "configured_region": self._region},
            "metric_hours": hours.total,
            "series_per_hour": {
                "shared": round(usage.shared, 1),
                "of_this_instance": round(usage.instance, 1),
                "hours": hours.hours,
            },
            "requests_per_month": int(two_digits(usage.requests)),
        }
        if self._budget is not None:
            shown["budget"] = self.budget()
            shown["dollars_per_month_of_replicas"] = _rounded(bill(usage, self._prices, self._replicas))
        series = usage.shared + usage.instance
        shown["metrics"] = await self._dearest(dollars["metrics"] / series if series else self._prices.metrics(1.0))
        shown["log_groups"] = self._largest_groups(log_bytes)
        return shown

    def _bill(self) -> dict[str, float]:
        hours = self._cardinality().hours
        hours.begin(self._hour())
        usage, _ = self._usage(hours.average())
        return bill(usage, self._prices)

    def _hour(self) -> int:
        return int(self._clock.wall() // 3_600)

    def _totals(self) -> Totals:
        requests = sum(
            [
                count
                for (operation, outcome), count in self._ledger.requests.outcomes.items()
                if operation == self._operation and outcome not in NOT_SENT
            ]
        )
        return Totals(requests, self._ledger.log_bytes.by_group)

    def _usage(self, series: Average, at_least: float = YOUNG_SECONDS) -> tuple[Usage, dict[str, float]]:
        """What a month uses with so many series an hour, and the bytes of log events by group.

        Requests and log events are treated as those of at least so many seconds.
        """
        month = self._rates.month(self._clock.monotonic(), self._totals(), at_least)
        sizes: dict[tuple[str | None, int | None], float] = {}
        for group, size in month.log_bytes.items():
            kind = self._kind(group)
            sizes[kind] = sizes.get(kind, 0.0) + size
        logs = tuple([LogUsage(size, log_class, days) for (log_class, days), size in sizes.items()])
        return Usage(series.shared, series.instance, month.requests, logs), dict(month.log_bytes)

    def _kind(self, group: str) -> tuple[str | None, int | None]:
        """The class and retention of a group, as configured or set by a sender; None where unknown."""
        settings = self._groups.settings(group)
        days = self._groups.retention_days(group)
        if days is None and settings is not None:
            days = settings.retention_days
        return None if settings is None else settings.log_class, self._retention_days if days is None else days

    def _largest_groups(self, log_bytes: dict[str, float]) -> list[dict[str, Any]]:
        shown = []
        for group, size in heapq.nlargest(SHOWN_GROUPS, log_bytes.items(), key=lambda one: one[1]):
            log_class, days = self._kind(group)
            dollars = self._prices.log_ingestion(size, log_class) + self._prices.log_storage(size, days)
            shown.append(
                {
                    "group": group,
                    "class": log_class or "STANDARD",
                    "retention_days": days,
                    "bytes_per_month": int(two_digits(size)),
                    "dollars_per_month": two_digits(dollars),
                }
            )
        return shown

    async def _dearest(self, price: float) -> list[dict[str, Any]]:
        """The metrics that cost the most, each with its dimensions; `price` is that of one series a month, on average.

        Counted again where the last count is old enough for it to take a tenth of a core at most.
        """
        async with self._counting:  # several requests share one count
            begun = self._clock.monotonic()
            if begun >= self._metrics_due:
                turns = Turns(self._clock.monotonic)
                shown, left = [], EXAMINED_IN_ALL
                for metric in await self._largest(turns):
                    examined = self._cardinality().series_of(metric.namespace, metric.name, min(left, EXAMINED))
                    shown.append(await _described(metric, examined, price, turns))
                    left -= len(examined)
                    del examined  # before yielding: freeing a list of 10,000 is most of a slice
                    await turns.give()
                self._metrics = shown
                turns.end()
                self._metrics_due = self._clock.monotonic() + turns.busy / MOST_OF_A_CORE
        return self._metrics

    async def _largest(self, turns: Turns) -> list[_Metric]:
        largest: list[_Metric] = []
        for (namespace, name), series, level in self._cardinality().levels(self._hour()):
            metric = _Metric(level, namespace, name, series)
            if len(largest) < SHOWN_METRICS:
                heapq.heappush(largest, metric)
            else:
                heapq.heappushpop(largest, metric)
            if turns.due():
                await turns.give()
        return sorted(largest, reverse=True)


async def _described(metric: _Metric, examined: Sequence[Series], price: float, turns: Turns) -> dict[str, Any]:
    """A metric with each of its dimensions: its values, and the series without it, of the series that are examined."""
    use: dict[str, DimensionUse] = {}
    for _ in dimension_use(examined, use):
        if turns.half():  # a table that grows or is freed takes the other half
            await turns.give()
    dollars = metric.level * price
    shown: dict[str, Any] = {
        "namespace": metric.namespace,
        "name": metric.name,
        "dollars_per_month": two_digits(dollars),
        "series": metric.series,
        "dimensions": {
            name: {
                "values": values,
                "series_without": without,
                "saves_dollars_per_month": two_digits(dollars * (1 - without / len(examined))),
            }
            for name, (values, without) in use.items()
        },
    }
    if len(examined) < metric.series:
        shown["series_examined"] = len(examined)
    return shown


def _rounded(dollars: dict[str, float]) -> dict[str, float]:
    return {kind: two_digits(one) for kind, one in (dollars | {"total": sum(dollars.values())}).items()}


def _whole(number: float) -> int | None:
    """A number of series; None if it is not limited."""
    return None if number == float("inf") else int(number)
