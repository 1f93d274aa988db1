"""The cap on series, and totals that stay right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import DecodeError, Reason
from sidecar.model import Series
from sidecar.shape.cardinality import IDLE_SECONDS, OTHER, Cardinality


def series(name: str = "requests", **dimensions: str) -> Series:
    return Series("N", name, tuple(sorted(dimensions.items())), "Count", 60)


def test_within_the_cap_every_series_is_its_own() -> None:
    cap = Cardinality(3)
    asked = [series(user=str(number)) for number in range(3)]

    assert [cap.admit(one, 0.0) for one in asked] == asked
    assert len(cap) == 3


def test_beyond_the_cap_the_exploding_dimension_becomes_other() -> None:
    cap = Cardinality(10)
    for number in range(10):
        cap.admit(series(user=str(number), region="eu"), 0.0)

    assert cap.admit(series(user="new", region="eu"), 0.0) == series(user=OTHER, region="eu")
    assert cap.admit(series(user="newer", region="eu"), 0.0) == series(user=OTHER, region="eu")
    assert cap.admit(series(user="3", region="eu"), 0.0) == series(user="3", region="eu")


def test_a_series_idle_for_an_hour_gives_its_place_to_a_new_one() -> None:
    cap = Cardinality(2)
    cap.admit(series(user="a"), 0.0)
    cap.admit(series(user="z"), 0.0)

    assert cap.admit(series(user="b"), IDLE_SECONDS - 1) == series(user=OTHER)
    assert cap.admit(series(user="b"), IDLE_SECONDS + 100) == series(user="b")


def test_names_that_explode_are_refused_once_nothing_can_be_folded() -> None:
    cap = Cardinality(4)
    for number in range(4):
        cap.admit(series(f"m{number}"), 0.0)

    with pytest.raises(DecodeError) as caught:
        cap.admit(series("m4"), 0.0)

    assert caught.value.reason is Reason.TOO_MANY_SERIES


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50), st.integers(0, 3)), max_size=300))
def test_the_number_of_series_is_bounded_and_folding_keeps_name_and_dimension_names(
    asked: list[tuple[int, int, int]],
) -> None:
    cap = Cardinality(20)
    for name, user, region in asked:
        one = series(f"m{name}", user=str(user), region=str(region))
        try:
            got = cap.admit(one, 0.0)
        except DecodeError:
            continue
        assert (got.namespace, got.name, got.unit) == (one.namespace, one.name, one.unit)
        assert [key for key, _ in got.dimensions] == [key for key, _ in one.dimensions]
    assert len(cap) <= 25


def test_a_known_metric_is_always_folded_and_never_refused() -> None:
    cap = Cardinality(100)
    for number in range(300):
        one = cap.admit(series(user=str(number), path=str(number // 2)), 0.0)
        assert one.name == "requests"
    assert len(cap) <= 125
