"""A cap on the number of series, with totals that stay right. Pure.

CloudWatch bills a series for every hour in which it got a sample. Beyond `max_series` distinct series in the
last hour, a new combination is folded: the dimension of its metric with the most values becomes `__other__`, so
that the metric's total over all series is still the sum of what was sent.
"""

from __future__ import annotations

from typing import Final

from sidecar.errors import DecodeError, Reason
from sidecar.model import Series

OTHER: Final = "__other__"
IDLE_SECONDS: Final = 3_600.0
# How often the idle are looked for, and how long the choice of a metric's exploding dimension holds.
SWEEP_SECONDS: Final = 60.0
# Folded series come on top of the cap, so that they always find a place: up to this many times the cap in all.
FOLDED_SHARE: Final = 0.25


class Cardinality:
    """The series of the last hour."""

    def __init__(self, max_series: int) -> None:
        """Start with none; `max_series` may be seen in an hour before new ones are folded."""
        self._max_series = max_series
        self._most = max_series + max(2, int(max_series * FOLDED_SHARE))
        self._seen: dict[Series, float] = {}  # {series: when last seen}
        self._of_metric: dict[tuple[str, str], list[Series]] = {}  # the same by namespace and name
        self._swept = float("-inf")
        self._exploding: dict[tuple[str, str], str] = {}  # {(namespace, name): dimension}

    def __len__(self) -> int:
        """How many series are known."""
        return len(self._seen)

    def admit(self, series: Series, now: float) -> Series:
        """The series to aggregate a sample in: its own, or a folded one.

        Args:
            series: what the sample asks for.
            now: monotonic seconds.

        Raises:
            DecodeError: `too_many_series`: not even folding makes room, since the names themselves explode.
        """
        if self.refresh(series, now):
            return series
        if len(self._seen) < self._max_series or self._sweep(now):
            self._add(series, now)
            return series
        # Half of the places for folded series are kept for those without any dimension's value: one a metric.
        half = (self._max_series + self._most) // 2
        for folded, most in zip(self._foldings(series), (half, self._most), strict=False):
            if self.refresh(folded, now):
                return folded
            if len(self._seen) < most:
                self._add(folded, now)
                return folded
        detail = f"{len(self._seen)} series in the last hour, metrics.max_series is {self._max_series}"
        raise DecodeError(Reason.TOO_MANY_SERIES, detail)

    def refresh(self, series: Series, now: float) -> bool:
        """Note another sample of a series; False where it is not known, or not any longer."""
        if series not in self._seen:
            return False
        self._seen[series] = now
        return True

    def _add(self, series: Series, now: float) -> None:
        self._seen[series] = now
        self._of_metric.setdefault((series.namespace, series.name), []).append(series)

    def _sweep(self, now: float) -> bool:
        """Forget what was idle for an hour; True where that made room."""
        if now - self._swept < SWEEP_SECONDS:
            return False
        self._swept = now
        self._exploding.clear()
        kept = {series: seen for series, seen in self._seen.items() if seen >= now - IDLE_SECONDS}
        self._seen, self._of_metric = {}, {}
        for series, seen in kept.items():
            self._add(series, seen)
        return len(self._seen) < self._max_series

    def _foldings(self, series: Series) -> list[Series]:
        """What a series may be folded into: without its exploding dimension, then without any."""
        if not series.dimensions:
            return []
        metric = (series.namespace, series.name)
        exploding = self._exploding.get(metric)
        if exploding is None or exploding not in dict(series.dimensions):
            exploding = self._most_values(series)
            if metric in self._of_metric:  # only known metrics: their number is bounded
                self._exploding[metric] = exploding
        once = tuple((name, OTHER if name == exploding else value) for name, value in series.dimensions)
        entirely = tuple((name, OTHER) for name, _ in series.dimensions)
        return [series._replace(dimensions=once), series._replace(dimensions=entirely)]

    def _most_values(self, series: Series) -> str:
        """The dimension with the most distinct values over the metric's known series."""
        values: dict[str, set[str]] = {name: {value} for name, value in series.dimensions}
        for seen in self._of_metric.get((series.namespace, series.name), ()):
            for name, value in seen.dimensions:
                values.setdefault(name, set()).add(value)
        return max((name for name, _ in series.dimensions), key=lambda name: len(values[name]))
