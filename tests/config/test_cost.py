"""Prices of the configuration go over those of the table."""

from __future__ import annotations

from sidecar.config.cost import PriceOverrides
from sidecar.model.prices import DATE


def test_prices_go_over_those_of_the_region_one_by_one() -> None:
    prices = PriceOverrides(logs_gb=0.4, metric_month=[0.2], date="2026-11-01").over("ap-northeast-1")

    assert (prices.region, prices.date) == ("ap-northeast-1", "2026-11-01")
    assert (prices.logs_gb, prices.logs_stored_gb_month) == (0.4, 0.033)
    assert prices.metrics(20_000) == 4_000.0


def test_without_any_the_table_holds_with_its_date() -> None:
    assert PriceOverrides().over("eu-west-1").region == "us-east-1"
    assert PriceOverrides().over("eu-west-1").date == DATE
