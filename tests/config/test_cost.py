"""Prices of the configuration go over those of the table."""

from __future__ import annotations

from sidecar.config.cost import Budget, PriceOverrides
from sidecar.config.cost_report import cost_report
from sidecar.config.schema import Config, Metrics
from sidecar.model.prices import DATE


def test_prices_go_over_those_of_the_region_one_by_one() -> None:
    prices = PriceOverrides(logs_gb=0.4, metric_month=[0.2], date="2026-11-01").over("ap-northeast-1")

    assert (prices.region, prices.date) == ("ap-northeast-1", "2026-11-01")
    assert (prices.logs_gb, prices.logs_stored_gb_month) == (0.4, 0.033)
    assert prices.metrics(20_000) == 4_000.0


def test_without_any_the_table_holds_with_its_date() -> None:
    assert PriceOverrides().over("eu-west-1").region == "us-east-1"
    assert PriceOverrides().over("eu-west-1").date == DATE


def test_check_prints_a_region_that_is_none_on_its_line() -> None:
    (first, *_) = cost_report(
        Config(region="a\n# b: \x1b[0m" + "x" * 10_000, prices=PriceOverrides(metric_month=[0.0]))
    )

    assert first.isprintable()
    assert "has none of a\\n# b: \\x1b[0mxxx" in first
    assert len(first) < 500


def test_metrics_that_cost_nothing_leave_room_for_any_number() -> None:
    config = Config(prices=PriceOverrides(metric_month=[0.0]), metrics=Metrics(budget=Budget(dollars_per_month=1)))

    assert "pays for any number of series" in list(cost_report(config))[-1]
