"""What is sent in dollars, and the budget: through a pipeline, with the counts a daemon has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from sidecar.model.log_groups import GroupSettings
from sidecar.model.prices import GB, HOURS_PER_MONTH
from sidecar.model.samples import Series
from sidecar.pipeline import costs
from sidecar.pipeline.shaping import make_shape
from sidecar.shape.cost import MONTH_SECONDS
from tests.support.clock import HandClock
from tests.support.counting import calls
from tests.support.pipeline import Rig
from tests.support.priced import MINUTE, Priced

LINE = b"hits:1|c|#user:"


def users(first: int, last: int) -> list[bytes]:
    return [b"%b%d" % (LINE, number) for number in range(first, last)]


def test_a_series_costs_its_month_however_often_it_is_flushed() -> None:
    rig = Priced()
    for _ in range(10):
        rig.minute(*users(0, 20))

    assert rig.costs.dollars()["metrics"] == 6.0
    assert rig.shown["metric_hours"] == 20


def test_rollups_are_billed() -> None:
    rig = Priced(metrics={"rules": [{"match": "hits", "rollups": [["Env"], []]}]})
    rig.minute(*users(0, 20))

    assert rig.shown["metric_hours"] == 22
    assert rig.costs.dollars()["metrics"] == 6.6


def test_high_resolution_costs_the_same() -> None:
    rig = Priced(metrics={"resolution": 1})
    for _ in range(3):
        rig.minute(*users(0, 20))

    assert rig.costs.dollars()["metrics"] == 6.0


def test_series_of_ended_hours_are_averaged() -> None:
    """Three hours of 10, 30 and 20 series after the first: 20 series a month."""
    rig = Priced()
    for first, last in ((0, 5), (0, 10), (0, 30), (0, 20)):
        rig.minute(*users(first, last))
        rig.clock.advance(3_600 - MINUTE)
    rig.costs.refresh()

    assert rig.costs.dollars()["metrics"] == 6.0
    assert rig.shown["series_per_hour"] == {"shared": 20.0, "of_this_instance": 0.0, "hours": 3}
    assert rig.shown["metric_hours"] == 65


def test_a_known_line_costs_nothing_more() -> None:
    """The bill is counted by flush: a burst of lines calls no function that it did not call without."""

    def burst(rig: Rig) -> int:
        rig.send(*users(0, 1))
        return calls(lambda: rig.send(*users(0, 1) * 500))

    plain, priced = Rig(clock=HandClock()), Priced(clock=HandClock(), metrics={"budget": {"dollars_per_month": 1}})

    assert burst(priced) == burst(plain)


def test_requests_cost_what_was_really_sent_retries_included() -> None:
    rig = Priced()
    rig.clock.advance(3_600)
    rig.ledger.requests.outcomes.update(
        {
            ("PutMetricData", "ok"): 1_000,
            ("PutMetricData", "throttle"): 230,
            ("PutMetricData", "network"): 500,  # nobody answered
            ("PutLogEvents", "ok"): 7_000,  # free of charge
        }
    )

    assert rig.shown["requests_per_month"] == 900_000  # 1,230 times 730 hours
    assert rig.costs.dollars()["requests"] == 9.0


def test_logs_cost_by_class_and_retention_of_their_group() -> None:
    rig = Priced(logs={"retention_days": 7})
    rig.groups.configure("/cheap", GroupSettings(30, "INFREQUENT_ACCESS"))
    rig.groups.retain("/asked", 365, 0)
    rig.clock.advance(MONTH_SECONDS / 10)
    for group, size in (("/plain", 4 * GB), ("/cheap", 4 * GB), ("/asked", GB)):
        rig.ledger.log_bytes.count(group, size // 10)

    shown = rig.shown

    assert shown["dollars_per_month"]["logs"] == 3.5  # 4 at 0.50, 4 at 0.25, 1 at 0.50
    day = 24 / HOURS_PER_MONTH * 0.15 * 0.03
    assert shown["dollars_per_month"]["log_storage"] == pytest.approx((4 * 7 + 4 * 30 + 365) * day, rel=0.05)
    assert [(one["group"], one["class"], one["retention_days"]) for one in shown["log_groups"]] == [
        ("/plain", "STANDARD", 7),
        ("/cheap", "INFREQUENT_ACCESS", 30),
        ("/asked", "STANDARD", 365),
    ]
    assert shown["log_groups"][0]["dollars_per_month"] == 2.0


def test_groups_without_number_are_counted_together() -> None:
    rig = Priced()
    for number in range(600):
        rig.ledger.log_bytes.count(f"/{number}", 10)

    assert len(rig.ledger.log_bytes.by_group) == 501
    assert sum(rig.ledger.log_bytes.by_group.values()) == 6_000
    assert rig.shown["log_groups"][0]["group"] == "(other groups)"


def test_each_metric_says_what_its_dimensions_cost() -> None:
    rig = Priced(dimensions={})
    rig.minute(*[b"hits:1|c|#user:%d,path:%d" % (user, user % 4) for user in range(100)], b"few:1|c")

    shown = rig.shown

    assert [metric["name"] for metric in shown["metrics"]] == ["hits", "few"]
    assert shown["metrics"][0] == {
        "namespace": "App",
        "name": "hits",
        "dollars_per_month": 30.0,
        "series": 100,
        "dimensions": {
            "user": {"values": 100, "series_without": 4, "saves_dollars_per_month": 29.0},
            "path": {"values": 4, "series_without": 100, "saves_dollars_per_month": 0.0},
        },
    }
    assert shown["metrics"][1]["dimensions"] == {}


def test_the_prices_say_their_date_their_region_and_what_they_leave_out() -> None:
    shown = Priced(region="eu-west-1").shown

    assert shown["prices"] == {"date": "2026-08-06", "region": "us-east-1", "configured_region": "eu-west-1"}
    assert shown["note"] == "list price, without free tier or discounts"
    assert shown["dollars_per_month"] == dict.fromkeys(("metrics", "requests", "logs", "log_storage", "total"), 0.0)
    assert "budget" not in shown


def test_configured_prices_hold() -> None:
    rig = Priced(prices={"metric_month": [1.0]})
    rig.minute(*users(0, 7))

    assert rig.costs.dollars()["metrics"] == 7.0


def test_what_is_shown_is_bounded_and_counted_in_slices() -> None:
    """Every slice is one of `Turns`: with a clock that ticks, it yields at every opportunity."""
    rig = Priced(metrics={"max_series": 3_000})
    cardinality = rig.pipeline.shape.cardinality
    for number in range(2_000):
        one = Series("N", f"m{number % 200}", (("user", str(number)),), "Count", 60)
        cardinality.sent(cardinality.admit(one, 0.0), "statistics", 0, 0.0)

    async def slices() -> tuple[dict[str, Any], int]:
        count = 0
        summary = asyncio.ensure_future(rig.costs.summary())
        while not summary.done():
            await asyncio.sleep(0)
            count += 1
        return summary.result(), count

    shown, count = asyncio.run(slices())

    assert len(shown["metrics"]) == costs.SHOWN_METRICS
    assert count >= 200 + 2 * costs.SHOWN_METRICS


def test_a_metric_of_very_many_series_is_examined_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "EXAMINED", 100)
    rig = Priced()
    rig.minute(*users(0, 250))

    (metric,) = rig.shown["metrics"]

    assert (metric["series"], metric["series_examined"]) == (250, 100)
    assert metric["dimensions"]["user"] == {"values": 100, "series_without": 1, "saves_dollars_per_month": 74.0}


def test_requests_at_the_same_time_share_one_count() -> None:
    rig = Priced()
    rig.minute(*users(0, 250))

    async def both() -> list[dict[str, Any]]:
        return list(await asyncio.gather(rig.costs.summary(), rig.costs.summary()))

    one, other = asyncio.run(both())

    assert one["metrics"] is other["metrics"]


# --- the budget -----------------------------------------------------------------------------------------------


def budgeted(dollars: float, **more: Any) -> Priced:
    return Priced(metrics={"budget": {"dollars_per_month": dollars, **more}})


def test_the_share_from_which_on_it_warns_is_logged_once_an_hour_and_shown() -> None:
    rig = budgeted(10)
    with capture_logs() as logs:
        rig.minute(*users(0, 20))
        assert (rig.costs.budget() or {})["warning"] is False
        for _ in range(30):
            rig.minute(*users(0, 27))  # 8.10 of 10
        assert [line["event"] for line in logs] == ["metrics.budget is nearly spent"]
        for _ in range(90):
            rig.minute(*users(0, 40))
    events = [line["event"] for line in logs]

    assert events[1] == "metrics.budget is spent"
    assert 2 <= len(events) <= 4
    assert (rig.costs.budget() or {})["warning"] is True
    assert rig.shown["budget"] == {
        "dollars_per_month": 10.0,
        "replicas": 1,
        "share": 1.2,
        "warning": True,
        "then": "warn",
    }


def test_a_budget_that_warns_folds_nothing() -> None:
    rig = budgeted(1)
    for _ in range(5):
        rig.minute(*users(0, 100))

    assert rig.ledger.adjusted["series_folded_by_budget"] == 0
    assert len(rig.pipeline.shape.cardinality) == 100


def test_at_the_budget_new_combinations_are_folded_existing_series_go_on_and_totals_are_exact() -> None:
    rig = budgeted(6, then="fold")
    rig.minute(*users(0, 20))
    for _ in range(3):
        rig.minute(*users(0, 50))
    datums = rig.datums()
    by_user: dict[str, float] = {}
    for datum in datums:
        (user,) = [pair["Value"] for pair in datum["Dimensions"] if pair["Name"] == "user"]
        by_user[user] = by_user.get(user, 0.0) + datum["StatisticValues"]["Sum"]

    assert by_user == {**{str(user): 4.0 for user in range(20)}, "__other__": 90.0}
    assert rig.ledger.adjusted["series_folded_by_budget"] == 90
    assert rig.ledger.adjusted["series_folded"] == 0
    assert rig.dropped == {}
    rig.assert_balanced()
    assert rig.shown["budget"] | {"share": 0} == {
        "dollars_per_month": 6.0,
        "replicas": 1,
        "share": 0,
        "warning": True,
        "then": "fold",
        "folding": True,
        "series": 20,
    }


def test_logs_leave_less_of_the_budget_for_series() -> None:
    rig = budgeted(16, then="fold")
    rig.clock.advance(MONTH_SECONDS / 10)
    rig.ledger.log_bytes.count("/a", 2 * GB)  # 20 a month: 10 dollars
    rig.costs.refresh()

    series = rig.shown["budget"]["series"]

    assert series == int((6 - 20 * 12 * 0.15 * 0.03) / 0.3)


def test_what_a_process_logs_at_its_start_folds_no_series() -> None:
    """10 MB in the first minute are 210 dollars a month by the rate of that minute: the series were there before."""
    rig = budgeted(20, then="fold")
    rig.ledger.log_bytes.count("/a", 10_000_000)
    rig.minute(*users(0, 20))
    rig.minute(*users(0, 40))

    assert rig.costs.dollars()["logs"] >= 100
    assert rig.ledger.adjusted["series_folded_by_budget"] == 0
    assert rig.shown["budget"]["warning"] is False


def test_replicas_multiply_all_but_equal_series() -> None:
    """The host is `host-1`: a series that names it is billed once an instance."""
    rig = budgeted(100, replicas=10)
    rig.clock.advance(3_600)
    rig.ledger.requests.outcomes["PutMetricData", "ok"] += 100
    rig.minute(*users(0, 20), b"up:1|c|#pod:host-1")

    shown = rig.shown

    assert shown["series_per_hour"] == {"shared": 20.0, "of_this_instance": 1.0, "hours": 0}
    assert shown["dollars_per_month"]["metrics"] == 6.3
    assert shown["dollars_per_month_of_replicas"]["metrics"] == 9.0
    assert shown["dollars_per_month_of_replicas"]["requests"] == pytest.approx(
        10 * shown["dollars_per_month"]["requests"], rel=0.06
    )


def test_a_reload_keeps_the_hours_and_what_the_budget_pays_for() -> None:
    rig = budgeted(6, then="fold")
    rig.minute(*users(0, 20))
    rig.pipeline.shape = make_shape(rig.config, "host-1", {}, before=rig.pipeline.shape)
    rig.minute(*users(0, 40))

    assert rig.shown["metric_hours"] == 21
