"""Statistic sets: count, minimum and maximum exact, sum up to rounding."""

from __future__ import annotations

from fractions import Fraction
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.aggregate.statistic_set import Gauge, Level, StatisticSet
from sidecar.aggregate.tally import Tally
from sidecar.model.samples import Measurement, Statistics
from tests.support.strategies import values


def collected(numbers: list[tuple[float, float]]) -> Statistics:
    """What a statistic set makes of values and weights."""
    one = StatisticSet(60.0, Tally())
    for value, weight in numbers:
        one.add(value, weight)
    measurement = one.take()
    assert measurement is not None
    assert measurement.statistics is not None
    return measurement.statistics


@given(st.lists(values, min_size=1, max_size=200))
def test_count_minimum_and_maximum_are_exact(numbers: list[float]) -> None:
    statistics = collected([(value, 1.0) for value in numbers])

    assert (len(numbers), min(numbers), max(numbers)) == (
        statistics.sample_count,
        statistics.minimum,
        statistics.maximum,
    )


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=500), st.sampled_from([1.0, 2.0, 10.0, 1 / 0.3]))
def test_sum_is_within_a_billionth_of_a_thousandth(numbers: list[float], weight: float) -> None:
    """1e-12 relative, weights included: nothing is rounded to whole samples."""
    statistics = collected([(value, weight) for value in numbers])
    exact = float(sum(Fraction(value) * Fraction(weight) for value in numbers))

    assert statistics.sum == pytest.approx(exact, rel=1e-12)
    assert statistics.sample_count == pytest.approx(fsum([weight] * len(numbers)), rel=1e-12)


def test_a_received_set_is_merged_as_one_sample() -> None:
    one = StatisticSet(60.0, Tally())
    one.add(5.0, 1.0)
    one.merge(Statistics(10.0, 20.0, -3.0, 4.0))

    assert one.take() == Measurement(2, Statistics(11.0, 25.0, -3.0, 5.0))


def test_weight_multiplies_count_and_sum_and_leaves_the_extremes() -> None:
    assert Statistics(12.0, 60.0, 4.0, 10.0) == collected([(4.0, 10.0), (10.0, 2.0)])


def test_an_empty_set_gives_nothing_and_returns_its_entry() -> None:
    tally = Tally()
    one = StatisticSet(60.0, tally)
    assert tally.entries == 1

    assert one.take() is None
    assert tally == Tally()


def test_a_taken_set_asks_for_its_successor() -> None:
    """`until` drops to zero: whoever still holds the accumulator sees that its window is over."""
    one = StatisticSet(60.0, Tally())
    assert one.until == 60.0
    one.take()

    assert one.until == 0.0


def test_a_gauge_moves_from_where_it_was_last_set() -> None:
    level = Level()
    gauge = Gauge(60.0, Tally(), level)
    gauge.add(gauge.change(-2.0), 1.0)
    gauge.add(10.0, 1.0)
    gauge.add(gauge.change(5.0), 1.0)

    assert level.value == 15.0
    assert gauge.take() == Measurement(3, Statistics(3.0, 23.0, -2.0, 15.0))


def test_a_gauge_keeps_its_level_over_windows() -> None:
    level = Level()
    first = Gauge(60.0, Tally(), level)
    first.add(7.0, 1.0)
    first.take()

    assert Gauge(120.0, Tally(), level).change(1.0) == 8.0
