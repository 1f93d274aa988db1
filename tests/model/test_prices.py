"""Prices: tiers, their inverse, logs by class and retention, Regions, two digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.prices import GB, HOURS_PER_MONTH, Prices, prices_of, two_digits


@pytest.mark.parametrize(
    ("months", "dollars"),
    [
        (0, 0.0),
        (1, 0.30),
        (10_000, 3_000.0),
        (10_001, 3_000.10),
        (250_000, 3_000 + 24_000),
        (250_002, 3_000 + 24_000 + 0.10),
        (1_000_000, 3_000 + 24_000 + 37_500),
        (1_000_100, 3_000 + 24_000 + 37_500 + 2.0),
    ],
)
def test_metrics_cost_less_from_tier_to_tier(months: float, dollars: float) -> None:
    assert Prices().metrics(months) == pytest.approx(dollars)
    assert Prices().metrics_for(dollars) == pytest.approx(months)


@given(st.floats(0, 1e7), st.lists(st.floats(0.0001, 10), min_size=1, max_size=4))
def test_what_dollars_pay_for_is_the_inverse_of_what_metrics_cost(months: float, tiers: list[float]) -> None:
    prices = Prices(metric_month=tuple(tiers))

    assert prices.metrics_for(prices.metrics(months)) == pytest.approx(months, abs=1e-3, rel=1e-6)


def test_a_price_of_nothing_pays_for_any_number() -> None:
    assert Prices(metric_month=(0.0,)).metrics_for(0.0) == float("inf")
    assert Prices(metric_month=(0.0,)).metrics(1e9) == 0.0
    assert Prices(metric_month=(0.3, 0.0)).metrics_for(2_999.7) == pytest.approx(9_999)


def test_one_price_for_metrics_holds_for_every_tier() -> None:
    assert Prices(metric_month=(0.2,)).metrics(2_000_000) == pytest.approx(400_000)


def test_logs_cost_by_class_and_are_stored_until_they_expire() -> None:
    prices = Prices()

    assert prices.log_ingestion(10 * GB) == pytest.approx(5.0)
    assert prices.log_ingestion(10 * GB, "STANDARD") == pytest.approx(5.0)
    assert prices.log_ingestion(10 * GB, "INFREQUENT_ACCESS") == pytest.approx(2.5)
    month_days = HOURS_PER_MONTH / 24
    # 10 GB a month, each kept for 30 days of 30.4, 15 % of them after compression.
    assert prices.log_storage(10 * GB, 30) == pytest.approx(10 * 30 / month_days * 0.15 * 0.03)
    assert prices.log_storage(10 * GB, None) == pytest.approx(10 * 12 * 0.15 * 0.03)


def test_requests_cost_a_cent_a_thousand() -> None:
    assert Prices().requests(43_800) == pytest.approx(0.438)


def test_a_region_without_prices_has_those_of_us_east_1_and_says_so() -> None:
    assert prices_of("ap-northeast-1").region == "ap-northeast-1"
    assert prices_of("ap-northeast-1").logs_gb == 0.76
    assert prices_of("mars-north-1").region == "us-east-1"
    assert prices_of(None).region == "us-east-1"


@pytest.mark.parametrize(
    ("dollars", "shown"), [(0.0, 0.0), (0.30123, 0.3), (1.25, 1.2), (1_234.5, 1_200.0), (0.000456, 0.00046)]
)
def test_dollars_have_two_digits(dollars: float, shown: float) -> None:
    assert two_digits(dollars) == shown
