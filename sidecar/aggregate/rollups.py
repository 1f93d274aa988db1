"""Rollups: what a closing window sends besides its series, added up over sets of dimensions. Pure.

A rollup is made of its parts at the moment these are taken out of their window, so that a sample costs nothing more and
the totals are those of what is sent: count, sum, minimum and maximum of the parts' own, the values of distributions
merged, the members of sets united. It stands for no sample of the ledger, since its parts do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.aggregate.distribution import Distribution
from sidecar.aggregate.members import Members
from sidecar.aggregate.statistic_set import StatisticSet
from sidecar.aggregate.tally import Tally
from sidecar.aggregate.window import Accumulator
from sidecar.model.closing import Closing, rolled_up
from sidecar.model.limits import VALUE_MAGNITUDE
from sidecar.model.samples import Measurement, Series, Statistics

_FORMS: Final = (Members, Distribution)


class ClosingInterval:
    """Takes the accumulators of the windows of one interval and adds them up.

    Attributes:
        out_of_range: rollups that were not sent since CloudWatch would refuse their sum or count.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._tally = Tally()  # these live for one flush, and are no larger than their parts
        self._totals: dict[tuple[Series, type[Accumulator]], Accumulator] = {}
        self.out_of_range = 0

    def take(self, closing: Closing, series: Series, accumulator: Accumulator) -> Measurement | None:
        """Empty an accumulator for good.

        Args:
            closing: of its window.
            series: the accumulator's.
            accumulator: to be emptied.

        Returns:
            What is to be sent of the series; None if the accumulator holds nothing.
        """
        scale, rollups, hits = closing
        totals = [self._total(rollup, accumulator) for rollup in rolled_up(series, rollups)] if rollups else []
        if isinstance(accumulator, Members):
            for total in totals:
                assert isinstance(total, Members)  # noqa: S101  # it has the form of its parts
                total.merge(accumulator)
        measurement = accumulator.take()
        if measurement is None:
            return None
        for hit in hits:
            hit.samples += measurement.samples
        if isinstance(accumulator, Members):
            return measurement
        if scale != 1.0:
            measurement = _scaled(measurement, scale)
        for total in totals:
            _add(total, measurement)
        return measurement

    def rollups(self) -> Iterator[tuple[Series, Measurement]]:
        """What is to be sent of the rollups, once every accumulator of the interval is taken; of each, no samples."""
        while self._totals:
            (series, _), total = self._totals.popitem()
            measurement = total.take()
            if measurement is None:
                continue
            if _in_range(measurement):
                yield series, measurement._replace(samples=0)
            else:
                self.out_of_range += 1

    def _total(self, series: Series, part: Accumulator) -> Accumulator:
        form: type[Accumulator] = next((one for one in _FORMS if isinstance(part, one)), StatisticSet)
        total = self._totals.get((series, form))
        if total is None:
            total = self._totals[series, form] = form(0.0, self._tally)
        return total


def _add(total: Accumulator, part: Measurement) -> None:
    if part.statistics is not None:
        assert isinstance(total, StatisticSet)  # noqa: S101  # it has the form of its parts
        total.merge(part.statistics)
    elif part.counts is not None:
        assert isinstance(total, Distribution)  # noqa: S101  # likewise
        for value, count in zip(part.values, part.counts, strict=True):
            total.add(value, count)


def _scaled(measurement: Measurement, scale: float) -> Measurement:
    statistics = measurement.statistics
    if statistics is not None:
        count, sum_, minimum, maximum = statistics
        statistics = Statistics(count, sum_ * scale, minimum * scale, maximum * scale)
        return measurement._replace(statistics=statistics)
    # Distinct values may become equal by rounding, and then by their order they are neighbours.
    merged: dict[float, float] = {}
    for value, count in zip(measurement.values, measurement.counts or (), strict=True):
        merged[value * scale] = merged.get(value * scale, 0.0) + count
    return measurement._replace(values=tuple(merged), counts=tuple(merged.values()))


def _in_range(measurement: Measurement) -> bool:
    statistics = measurement.statistics
    if statistics is not None:
        return max(statistics.sample_count, abs(statistics.sum)) <= VALUE_MAGNITUDE
    return max(measurement.counts or (1.0,)) <= VALUE_MAGNITUDE
