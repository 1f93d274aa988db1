"""The cap on series, and totals that stay right."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import MIN_SERIES_BYTES
from sidecar.model.samples import Series
from sidecar.shape.cardinality import EXAMINED, FOLDED_SHARE, FORGOTTEN_AT_ONCE, IDLE_SECONDS, OTHER, Cardinality
from tests.support.counting import calls


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


def test_what_is_known_is_bounded_in_bytes_and_what_is_beyond_is_folded() -> None:
    cap = Cardinality(680)
    for number in range(2_000):
        one = series(user=f"{number:01024}", path=f"{number % 2:01000}")
        admitted = cap.admit(one, 0.0)
        assert admitted == one or dict(admitted.dimensions)["user"] == OTHER
    assert cap.memory_bytes <= MIN_SERIES_BYTES * (1.0 + FOLDED_SHARE)
    for number in range(2_000):
        with contextlib.suppress(DecodeError):
            cap.admit(series(f"{number:0255}", user=f"{number:01024}"), 0.0)
    assert cap.memory_bytes <= MIN_SERIES_BYTES * (1.0 + FOLDED_SHARE)


def test_bytes_are_given_back_with_the_series() -> None:
    cap = Cardinality(100)
    for hour in range(50):
        for number in range(100):
            one = series(f"m{number}", user=f"{hour}-{number}")
            assert cap.admit(one, hour * (IDLE_SECONDS + 1.0)) == one
    assert len(cap) == 100
    assert cap.memory_bytes == sum(one.memory_bytes for one in cap._entries)
    assert sum(map(len, cap._of_metric.values())) == 100


def test_one_instance_of_a_series_is_handed_out() -> None:
    cap = Cardinality(10)
    first = cap.admit(series(user="a"), 0.0)

    assert cap.admit(series(user="a"), 1.0) is first
    assert cap.refresh(series(user="a"), 2.0)
    assert cap.admit(series(user="a"), 3.0) is first


def test_folded_series_take_no_place_from_others() -> None:
    cap = Cardinality(4)
    for number in range(8):
        cap.admit(series(user=str(number)), 0.0)
    later = IDLE_SECONDS + 1.0
    cap.refresh(series(user=OTHER), later - 1.0)

    assert [cap.admit(series(user=str(number)), later) for number in range(4)] == [
        series(user=str(number)) for number in range(4)
    ]


def test_forgetting_and_choosing_are_done_in_small_steps() -> None:
    """However many series there are, one more costs as much as at a hundredth: counted in calls."""
    costs = []
    for size in (1_000, 20_000):
        cap = Cardinality(size)
        for number in range(size):
            cap.admit(series(user=str(number), path=str(number % 7)), 0.0)
        folding = calls(lambda cap=cap: cap.admit(series(user="new", path="1"), 1.0))  # type: ignore[misc]
        forgetting = calls(lambda cap=cap: cap.admit(series(user="new", path="1"), IDLE_SECONDS + 1.0))  # type: ignore[misc]
        costs.append((folding, forgetting))
        assert len(cap) >= size - FORGOTTEN_AT_ONCE
        assert folding < 10 * EXAMINED
    (few, first), (many, last) = costs
    assert many <= 1.5 * few + 100
    assert last <= 1.5 * first + 100


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0.0, 2_000.0)), max_size=200))
def test_a_series_seen_within_the_hour_is_known_and_an_idle_one_makes_room(steps: list[tuple[int, float]]) -> None:
    cap = Cardinality(10)
    now = 0.0
    seen: dict[Series, float] = {}
    for number, seconds in steps:
        now += seconds
        one = series(user=str(number))
        within = {known for known, at in seen.items() if now - at < IDLE_SECONDS}
        admitted = cap.admit(one, now)
        if one in within:
            assert admitted == one
        if len(within) < 10:
            assert admitted == one, "there is room"
        if admitted == one:
            seen[one] = now
        assert len(cap) <= 12
