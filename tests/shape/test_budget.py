"""Folding at the budget, and series that are counted when they are sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.closing import rolled_up
from sidecar.model.samples import Form, Series
from sidecar.shape.cardinality import FEW, IDLE_SECONDS, OTHER, Cardinality
from sidecar.shape.metric_hours import Average


def series(name: str = "requests", unit: str = "Count", **dimensions: str) -> Series:
    return Series("N", name, tuple(sorted(dimensions.items())), unit, 60)


def capped(budget: float, max_series: int = 1_000, **options: object) -> Cardinality:
    cap = Cardinality(max_series, **options)  # type: ignore[arg-type]
    cap.budget_series = budget
    return cap


def test_at_the_budget_new_combinations_are_folded_and_those_there_are_go_on() -> None:
    cap = capped(3)
    known = [cap.admit(series(user=str(number)), 0.0) for number in range(3)]

    assert cap.over_budget
    assert cap.admit(series(user="new"), 1.0) == series(user=OTHER)
    assert [cap.admit(one, 2.0) for one in known] == known


def test_a_budget_that_is_raised_or_series_that_end_let_new_ones_in_again() -> None:
    cap = capped(2)
    for number in range(2):
        cap.admit(series(user=str(number)), 0.0)
    assert cap.admit(series(user="a"), 0.0) == series(user=OTHER)

    cap.budget_series = 10
    assert cap.admit(series(user="a"), 0.0) == series(user="a")
    cap.budget_series = 2
    assert cap.admit(series(user="b"), IDLE_SECONDS + 1) == series(user="b")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 50), st.integers(0, 3)), max_size=300))
def test_nothing_is_ever_refused_because_of_a_budget(asked: list[tuple[int, int, int]]) -> None:
    """Not even where it pays for nothing, and there are more names than folded series have places."""
    cap = capped(0, max_series=200)
    for name, user, region in asked:
        dimensions = {} if user == 0 else {"user": str(user), "region": str(region)}
        got = cap.admit(series(f"m{name}", **dimensions), 0.0)
        assert got.name == f"m{name}"


def test_at_the_budget_few_series_are_folded_by_one_dimension_and_the_others_by_all() -> None:
    cap = capped(0)
    for number in range(100):
        cap.admit(series(user=str(number), region=str(number)), 0.0)

    assert len(cap) == FEW + 1
    assert cap.admit(series(user="x", region="y"), 0.0) == series(user=OTHER, region=OTHER)


def test_rollups_count_towards_the_budget_and_go_on_over_folded_series() -> None:
    cap = capped(4)
    rollups = (("env",), ())
    for user in ("a", "b"):
        cap.admit(series(env="prod", user=user), 0.0, rollups=rollups)
    assert len(cap) == 4

    folded = cap.admit(series(env="prod", user="c"), 0.0, rollups=rollups)
    assert folded == series(env="prod", user=OTHER)
    assert rolled_up(folded, rollups) == [series(env="prod"), series()]


def test_a_series_of_this_instance_counts_once_for_each_replica() -> None:
    cap = capped(20, instance=("pod-1",), replicas=10)
    cap.admit(series(pod="pod-1"), 0.0)
    cap.admit(series(pod="pod-1", path="/"), 0.0)

    assert cap.over_budget
    assert cap.admit(series(user="a"), 0.0) == series(user=OTHER)


def test_a_series_counts_once_an_hour_however_often_it_is_sent() -> None:
    cap = Cardinality(100, instance=("pod-1",))
    for hour, flushes in ((10, 60), (11, 3)):
        for _ in range(flushes):
            cap.sent(cap.admit(series(user="a"), 0.0), "statistics", hour, 0.0)
    cap.sent(cap.admit(series(pod="pod-1"), 0.0), "statistics", 11, 0.0)

    assert cap.hours.total == 3
    assert cap.hours.level() == Average(1, 1)
    assert list(cap.levels(11)) == [(("N", "requests"), 2, 2)]


def test_another_unit_or_resolution_is_the_same_metric_on_the_bill() -> None:
    cap = Cardinality(100)
    for one in (series(user="a"), series(user="a", unit="Bytes"), series(user="a")._replace(resolution=1)):
        cap.sent(cap.admit(one, 0.0), "statistics", 10, 0.0)
    cap.sent(cap.admit(series(user="b", unit="Bytes"), 0.0), "statistics", 10, 0.0)

    assert cap.hours.total == 2


def test_a_series_that_an_earlier_process_left_is_known_once_it_is_sent() -> None:
    cap = capped(1)
    cap.sent(series(user="old"), "statistics", 10, 0.0)

    assert cap.hours.total == 1
    assert cap.admit(series(user="old"), 0.0) == series(user="old")
    assert cap.admit(series(user="new"), 0.0) == series(user=OTHER)


def test_a_series_is_new_once_for_each_form_in_which_it_is_sent() -> None:
    """However often it is sent, and in however many hours, while it is among the series of the last hour."""
    cap = Cardinality(100, instance=("pod-1",))
    one = cap.admit(series(pod="pod-1"), 0.0)
    sent: list[tuple[Form, int]] = [("statistics", 10), ("values", 10), ("statistics", 11), ("set", 11), ("values", 12)]

    assert [cap.sent(one, form, hour, 0.0) for form, hour in sent] == [True, True, False, True, False]
    assert cap.hours.total == 3

    cap.admit(series("other"), IDLE_SECONDS + 1)  # removes those that are idle
    assert cap.sent(one, "values", 13, IDLE_SECONDS + 1)


@pytest.mark.parametrize("back", [1, 2])
def test_a_clock_that_is_set_back_counts_no_hour_of_a_series_twice(back: int) -> None:
    """What was sent in the hours that come again is on the bill; what is new in them is counted once."""
    cap = Cardinality(100)
    known, new = (cap.admit(series(user=user), 0.0) for user in ("known", "new"))
    for hour in (8, 9, 10):
        cap.sent(known, "statistics", hour, 0.0)
    for hour in range(10 - back, 11):
        for one in (known, new):
            cap.sent(one, "statistics", hour, 0.0)
        assert cap.hours.total == 3 + 1
        assert list(cap.levels(hour)) == [(("N", "requests"), 2, 2)]

    cap.sent(known, "statistics", 11, 0.0)
    assert cap.hours.total == 5


def test_a_clock_that_was_too_far_ahead_does_not_end_the_count() -> None:
    """CloudWatch refused what was sent with a time over two hours ahead: the hours that follow are on the bill."""
    cap = Cardinality(100)
    for hour in (1_000, 10, 11, 12):
        cap.sent(cap.admit(series(user="a"), 0.0), "statistics", hour, 0.0)

    assert cap.hours.total == 4
    assert list(cap.levels(12)) == [(("N", "requests"), 1, 1)]


def test_nothing_of_ended_series_is_kept() -> None:
    cap = Cardinality(10, instance=("9",), replicas=5)
    for number in range(2_000):
        now = number * 1_000.0
        cap.sent(cap.admit(series(f"m{number}", user=str(number % 10)), now), "statistics", number // 3, now)

    assert len(cap) < 10
    assert len(list(cap.levels(2_000 // 3))) < 10
    cap.budget_series = 100
    assert not cap.over_budget
    assert cap.series_of("N", "m0", 10) == []
