"""One period of one metric, and how periods merge.  Pure arithmetic.

CloudWatch keeps SampleCount, Sum, Minimum and Maximum of all datums that share a metric
and a period, whoever sent them ("CloudWatch concepts", Aggregation).  Percentiles need
the values themselves (`MetricDatum.Values`; PutMetricData, "Percentile statistics").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import Final, NamedTuple

from .datum import Datum, StatisticSet
from .errors import PercentileUnavailableError

_COMPACT_AT: Final = 1_024  # statistic sets a period holds apart before it adds them up


class Statistics(NamedTuple):
    """What CloudWatch shows for a metric; `NO_DATA` where it has nothing.

    Sums are exact to the last rounding (`math.fsum` over what was sent), so that a test
    may compare them tightly.  `sample_count` may be fractional.
    """

    sample_count: float
    sum: float
    minimum: float
    maximum: float

    @property
    def average(self) -> float:
        """Sum / SampleCount; NaN without samples."""
        return self.sum / self.sample_count if self.sample_count else math.nan


NO_DATA: Final = Statistics(0.0, 0.0, math.inf, -math.inf)


class Period:
    """Everything received for one metric in one period."""

    __slots__ = ("_counts", "_extremes", "_opaque", "_sums", "weights")

    def __init__(self) -> None:
        self.weights: dict[float, float] = {}
        """{value: how often it was seen}, from Value, Values + Counts and flat statistic sets."""
        self._counts: list[float] = []  # of statistic sets
        self._sums: list[float] = []  # of statistic sets
        self._extremes = (math.inf, -math.inf)
        self._opaque = False  # holds a statistic set that hides its values

    def add(self, datum: Datum) -> None:
        """Merge a datum that has passed the rules."""
        if datum.value is not None:
            self._add_values((datum.value,), (1.0,))
        elif datum.values:
            self._add_values(datum.values, datum.counts or (1.0,) * len(datum.values))
        elif datum.statistic_set is not None:
            self._add_statistic_set(datum.statistic_set)

    @property
    def opaque(self) -> bool:
        """Whether a statistic set among them hides its values: no percentiles then."""
        return self._opaque

    def terms(self) -> tuple[list[float], list[float], float, float]:
        """Addends of SampleCount and of Sum, and the extremes, for an exact total."""
        counts = [*self._counts, *self.weights.values()]
        sums = [*self._sums, *(value * weight for value, weight in self.weights.items())]
        return counts, sums, *self._extremes

    def _add_values(self, values: tuple[float, ...], weights: tuple[float, ...]) -> None:
        held = self.weights
        for value, weight in zip(values, weights, strict=True):
            held[value] = held.get(value, 0.0) + weight
        self._widen(min(values), max(values))

    def _add_statistic_set(self, statistics: StatisticSet) -> None:
        count, total = statistics.sample_count or 0.0, statistics.sum or 0.0
        low, high = statistics.minimum or 0.0, statistics.maximum or 0.0
        # PutMetricData: percentiles are available from a statistic set only if SampleCount
        # is 1 and Min, Max and Sum are equal, or Min equals Max and Sum is Min x SampleCount.
        if low == high and total == low * count:
            self._add_values((low,), (count,))
            return
        self._opaque = True
        self._counts.append(count)
        self._sums.append(total)
        self._widen(low, high)
        if len(self._counts) >= _COMPACT_AT:
            self._counts = [math.fsum(self._counts)]
            self._sums = [math.fsum(self._sums)]

    def _widen(self, low: float, high: float) -> None:
        self._extremes = (min(self._extremes[0], low), max(self._extremes[1], high))


def merge(periods: Iterable[Period]) -> Statistics:
    """Add up periods as if their datums had shared one; `NO_DATA` for none."""
    counts: list[float] = []
    sums: list[float] = []
    low, high = math.inf, -math.inf
    for period in periods:
        more_counts, more_sums, period_low, period_high = period.terms()
        counts += more_counts
        sums += more_sums
        low, high = min(low, period_low), max(high, period_high)
    return Statistics(math.fsum(counts), math.fsum(sums), low, high)


def merge_weights(periods: Iterable[Period]) -> dict[float, float]:
    """{value: weight} over periods, values ascending."""
    merged: dict[float, list[float]] = {}
    for period in periods:
        for value, weight in period.weights.items():
            merged.setdefault(value, []).append(weight)
    return {value: math.fsum(merged[value]) for value in sorted(merged)}


def percentile(periods: Iterable[Period], percent: float) -> float:
    """Find the weighted nearest-rank percentile of what the periods hold.

    Args:
        periods: of one metric.
        percent: 0 to 100.

    Returns:
        The smallest value at or below which at least `percent` of the weight lies.

    Raises:
        PercentileUnavailableError: CloudWatch would have none: no data, a statistic set
            that hides its values, or a negative value ("CloudWatch concepts", Percentiles).
    """
    periods = list(periods)
    weights = merge_weights(periods)
    if any(period.opaque for period in periods):
        raise PercentileUnavailableError("a statistic set hides the values behind it")
    if not weights:
        raise PercentileUnavailableError("no data")
    if min(weights) < 0:
        raise PercentileUnavailableError("there are negative values")
    return weighted_percentile(weights, percent)


def weighted_percentile(weights: dict[float, float], percent: float) -> float:
    """As `percentile`, of {value: weight} with values ascending and at least one."""
    # A whole multiple of the weight must not miss its rank by a rounding of the sums.
    wanted = math.fsum(weights.values()) * percent / 100.0 * (1.0 - 1e-12)
    reached = accumulate(weights.values())
    return next((value for value, sum_ in zip(weights, reached, strict=True) if sum_ >= wanted), max(weights))
