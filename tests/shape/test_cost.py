"""Arithmetic of the bill, rates, and what each dimension makes of a metric."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.prices import GB, HOURS_PER_MONTH, Prices
from sidecar.model.samples import Series
from sidecar.shape.cost import (
    DIMENSIONS,
    MONTH_SECONDS,
    SERIES_AT_ONCE,
    WINDOW_SECONDS,
    DimensionUse,
    LogUsage,
    Rates,
    Totals,
    Usage,
    affordable_series,
    bill,
    dimension_use,
)

USAGE = Usage(
    shared=9_000,
    instance=500,
    requests=43_800,
    logs=(LogUsage(10 * GB, None, 30), LogUsage(4 * GB, "INFREQUENT_ACCESS", None)),
)


def test_a_bill_is_the_sum_of_metrics_requests_and_logs() -> None:
    stored = (10 * 30 * 24 / HOURS_PER_MONTH + 4 * 12) * 0.15 * 0.03

    assert bill(USAGE, Prices()) == pytest.approx(
        {"metrics": 2_850.0, "requests": 0.438, "logs": 6.0, "log_storage": stored}
    )


def test_replicas_share_equal_series_and_nothing_else() -> None:
    """9,000 series are billed once, 500 of each of ten: 14,000, of which 4,000 are in the second tier."""
    of_ten = bill(USAGE, Prices(), 10)

    assert of_ten["metrics"] == pytest.approx(3_400)
    assert of_ten["requests"] == pytest.approx(4.38)
    assert of_ten["logs"] == pytest.approx(60)


def test_the_budget_pays_for_series_once_requests_and_logs_are_paid() -> None:
    usage = USAGE._replace(requests=1_000_000, logs=(LogUsage(20 * GB, None, 1),))
    stored = Prices().log_storage(20 * GB, 1)

    assert affordable_series(320 + stored, usage, Prices()) == pytest.approx(1_000)
    assert affordable_series(15, usage, Prices()) == 0.0


@given(st.floats(0, 1e6), st.integers(1, 50))
def test_the_bill_of_what_the_budget_pays_for_is_the_budget(dollars: float, replicas: int) -> None:
    series = affordable_series(dollars, USAGE, Prices(), replicas)
    if series:
        usage = USAGE._replace(shared=series, instance=0.0)
        assert sum(bill(usage, Prices(), replicas).values()) == pytest.approx(dollars)


def test_rates_are_those_since_the_start_and_then_of_the_last_day_or_half_of_it() -> None:
    groups = {"/a": 1_000}
    rates = Rates(0.0, Totals(100, groups))
    groups["/a"] += 3_600

    assert rates.month(3_600.0, Totals(460, groups)) == Totals(round(0.1 * MONTH_SECONDS), {"/a": round(MONTH_SECONDS)})
    # At ten times the rate from then on: after one or two windows nothing is left of what was before.
    now, requests = 3_600.0, 460.0
    for _ in range(3):
        now += WINDOW_SECONDS
        requests += WINDOW_SECONDS
        month = rates.month(now, Totals(int(requests), groups))
    assert month.requests == pytest.approx(MONTH_SECONDS, rel=0.1)
    assert month.log_bytes == {"/a": 0}


def test_a_process_of_a_second_has_the_rate_of_a_minute() -> None:
    rates = Rates(0.0, Totals(0, {}))

    assert rates.month(1.0, Totals(1, {})).requests == round(MONTH_SECONDS / 60)


def series(**dimensions: str) -> Series:
    return Series("N", "m", tuple(sorted(dimensions.items())), "Count", 60)


def counted(*asked: Series) -> dict[str, DimensionUse]:
    use: dict[str, DimensionUse] = {}
    for _ in dimension_use(asked, use):
        pass
    return use


def test_each_dimension_has_its_values_and_the_series_left_without_it() -> None:
    many = [series(service=s, user=str(u), env="prod") for s in ("api", "web") for u in range(100)]

    assert counted(*many) == {
        "user": DimensionUse(100, 2),
        "service": DimensionUse(2, 100),
        "env": DimensionUse(1, 200),
    }
    assert next(iter(counted(*many))) == "user"


def test_a_rollup_that_is_there_already_is_not_left_twice() -> None:
    """Without `user`, the parts are what their rollup is."""
    parts = [series(env="prod", user=str(u)) for u in range(5)]

    assert counted(*parts, series(env="prod"))["user"] == DimensionUse(5, 1)


def test_dimensions_are_bounded_and_counted_in_slices() -> None:
    many = [series(**{f"d{number}": str(number)}) for number in range(10 * SERIES_AT_ONCE)]
    use: dict[str, DimensionUse] = {}

    slices = sum(1 for _ in dimension_use(many, use))

    assert len(use) == DIMENSIONS
    assert slices >= 10 * (DIMENSIONS + 1)


def test_a_metric_without_series_has_no_dimensions() -> None:
    assert counted() == {}
