"""Distributions: exact to 150 distinct values, then within one percent; extremes and sums always exact."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.aggregate.distribution import MAX_BUCKETS, CheckpointedDistribution, Distribution
from sidecar.aggregate.state import State
from sidecar.aggregate.tally import Tally
from sidecar.model.limits import VALUES_PER_DATUM
from sidecar.model.samples import Measurement
from tests.support.strategies import weighted, weights

Pairs = list[tuple[float, float]]

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)
RANDOM: Final = random.Random(20261121)


def filled(pairs: Pairs, tally: Tally | None = None) -> Distribution:
    """A distribution of these values and weights; the tally counts its samples."""
    tally = Tally() if tally is None else tally
    one = Distribution(60.0, tally)
    for value, weight in pairs:
        one.add(value, weight)
    tally.samples += len(pairs)
    return one


def taken(one: Distribution) -> tuple[Measurement, tuple[float, ...]]:
    """The measurement of a distribution that is not empty, and its counts."""
    measurement = one.take()
    assert measurement is not None
    assert measurement.counts is not None
    return measurement, measurement.counts


def quantile(pairs: Pairs, q: float) -> float:
    """The nearest-rank quantile of values with weights, the values ascending."""
    ranks = list(accumulate(weight for _, weight in pairs))
    # A hair below the exact rank: weights add up in another order here and there.
    return pairs[bisect_left(ranks, q * ranks[-1] * (1 - 1e-9))][0]


def total(pairs: Pairs) -> float:
    return math.fsum(value * weight for value, weight in pairs)


SHAPES: Final[dict[str, Callable[[], float]]] = {
    "uniform": lambda: RANDOM.uniform(0.0, 1_000.0),
    "log-normal": lambda: RANDOM.lognormvariate(3.0, 1.5),
    "pareto": lambda: RANDOM.paretovariate(1.1),
    "bimodal": lambda: RANDOM.gauss(20.0, 1.0) if RANDOM.random() < 0.7 else RANDOM.gauss(900.0, 30.0),
    "constant": lambda: 42.0,
    "signed": lambda: RANDOM.gauss(0.0, 100.0),
    "whole": lambda: float(int(RANDOM.expovariate(0.01))),
}


@pytest.mark.parametrize("mixed", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("size", [100, 5_000, 20_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_are_within_one_percent(shape: str, size: int, mixed: bool) -> None:  # noqa: FBT001
    draw = SHAPES[shape]
    pairs = sorted((draw(), RANDOM.choice([1.0, 2.0, 10.0, 1 / 0.3]) if mixed else 1.0) for _ in range(size))
    shuffled = RANDOM.sample(pairs, size)
    measurement, counts = taken(filled(shuffled))
    given_back = list(zip(measurement.values, counts, strict=True))

    for q in QUANTILES:
        assert quantile(given_back, q) == pytest.approx(quantile(pairs, q), rel=0.01), q


def test_a_million_samples_keep_the_quantiles_the_sum_and_the_extremes() -> None:
    numbers = [RANDOM.lognormvariate(2.0, 2.0) for _ in range(1_000_000)]
    one = Distribution(60.0, Tally())
    for value in numbers:
        one.add(value, 1.0)
    measurement, counts = taken(one)
    given_back = list(zip(measurement.values, counts, strict=True))
    numbers.sort()

    for q in QUANTILES:
        assert quantile(given_back, q) == pytest.approx(numbers[math.ceil(q * 1_000_000) - 1], rel=0.01)
    assert (numbers[0], numbers[-1]) == (measurement.values[0], measurement.values[-1])
    assert math.fsum(counts) == 1_000_000
    assert total(given_back) == pytest.approx(math.fsum(numbers), rel=1e-12)


@given(st.lists(st.integers(-75, 74).map(float), min_size=1, max_size=600))
def test_up_to_150_distinct_values_are_exact(numbers: list[float]) -> None:
    measurement, counts = taken(filled([(value, 1.0) for value in numbers]))

    assert dict(zip(measurement.values, counts, strict=True)) == Counter(numbers)


def test_the_150th_distinct_value_is_kept_and_the_151st_is_folded() -> None:
    exactly = [(1.0 + i / 1_000, 1.0) for i in range(VALUES_PER_DATUM)]
    assert [value for value, _ in exactly] == list(taken(filled(exactly))[0].values)

    folded = taken(filled([*exactly, (1.2, 1.0)]))[0].values

    assert len(folded) < VALUES_PER_DATUM


@given(weighted.filter(bool))
def test_counts_sum_and_extremes_survive_folding(pairs: Pairs) -> None:
    measurement, counts = taken(filled(pairs))
    given_back = list(zip(measurement.values, counts, strict=True))
    scale = math.fsum(abs(value * weight) for value, weight in pairs)

    assert measurement.samples == len(pairs)
    assert math.fsum(counts) == pytest.approx(math.fsum(weight for _, weight in pairs), rel=1e-12)
    assert total(given_back) == pytest.approx(total(pairs), rel=1e-12, abs=1e-12 * scale)
    assert (min(pairs)[0], max(pairs)[0]) == (measurement.values[0], measurement.values[-1])


@given(st.lists(st.tuples(st.integers(-200, 200).map(float), weights), min_size=1, max_size=800))
def test_extremes_have_entries_of_their_own_with_their_own_weight(pairs: Pairs) -> None:
    _, counts = taken(filled(pairs))
    own: Counter[float] = Counter()
    for value, weight in pairs:
        own[value] += weight  # type: ignore[assignment]  # a Counter of floats adds as well

    assert counts[0] == pytest.approx(own[min(own)], rel=1e-12)
    assert counts[-1] == pytest.approx(own[max(own)], rel=1e-12)


@given(weighted.filter(bool))
def test_values_are_distinct_and_ascending(pairs: Pairs) -> None:
    values = taken(filled(pairs))[0].values

    assert all(one < following for one, following in pairwise(values))


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["maximum", "minimum"])
@pytest.mark.parametrize("weight", [1.0, 1 / 0.3, 1 / 0.7, 1 / 0.9])
@pytest.mark.parametrize("near", [0.3, 1.1, 245.5])
def test_a_rounded_mean_neither_reaches_nor_passes_the_extremes(near: float, weight: float, sign: float) -> None:
    """The mean of a bucket is off by a rounding: it may not become the new extreme, nor share its value."""
    extreme = math.nextafter(near, math.inf)
    pairs = [(near * i / 1_000, 1.0) for i in range(1, 200)] + [(extreme, 1.0)] + [(near, weight)] * 3_000
    measurement, counts = taken(filled([(sign * value, weight) for value, weight in pairs]))
    values = measurement.values

    assert (sign * extreme, 1.0) == ((values[-1], counts[-1]) if sign > 0 else (values[0], counts[0]))
    assert len(set(values)) == len(values)


@given(st.lists(weighted, max_size=4))
def test_checkpoints_between_samples_change_nothing(parts: list[Pairs]) -> None:
    tally = Tally()
    one = CheckpointedDistribution(60.0, tally)
    for part in parts:
        for value, weight in part:
            one.add(value, weight)
        tally.samples += len(part)
        one.unsaved(full=False)

    assert_alike(one.take(), filled([pair for part in parts for pair in part]).take())


@given(st.lists(weighted, min_size=1, max_size=4), st.integers(0, 3))
def test_what_the_checkpoints_gave_restored_is_the_distribution(parts: list[Pairs], full_at: int) -> None:
    """Each gain since the last checkpoint once, or everything anew where a full one was asked for."""
    one, restored = (CheckpointedDistribution(60.0, Tally()) for _ in range(2))
    states: list[State | None] = []
    for number, part in enumerate(parts):
        for value, weight in part:
            one.add(value, weight)
        if number == full_at:
            states.clear()
        states.append(one.unsaved(full=number == full_at))
    for state in states:
        if state is not None:
            restored.restore(state)

    assert_alike(one.take(), restored.take())


def assert_alike(one: Measurement | None, other: Measurement | None) -> None:
    """The same up to rounding and to which values were folded: samples, count, sum, extremes, quantiles."""
    if one is None or other is None:
        assert one is other
        return
    assert one.samples == other.samples
    assert one.counts is not None
    assert other.counts is not None
    assert (one.values[0], one.values[-1]) == (other.values[0], other.values[-1])
    assert math.fsum(one.counts) == pytest.approx(math.fsum(other.counts), rel=1e-12)
    a, b = list(zip(one.values, one.counts, strict=True)), list(zip(other.values, other.counts, strict=True))
    scale = math.fsum(abs(value * weight) for value, weight in a)
    assert total(a) == pytest.approx(total(b), rel=1e-12, abs=1e-12 * scale)
    for q in (0.25, 0.5, 0.9):
        # Each is within 1 % of the truth, so they are within 2 % (and a little) of one another.
        assert quantile(a, q) == pytest.approx(quantile(b, q), rel=0.0202)


def test_zero_and_negatives_are_kept_apart() -> None:
    pairs = [(float(i), 1.0) for i in range(-500, 501)] + [(0.0, 41.0)]
    measurement, counts = taken(filled(pairs))

    assert dict(zip(measurement.values, counts, strict=True))[0.0] == 42.0
    assert sum(count for value, count in zip(measurement.values, counts, strict=True) if value < 0) == 500.0


def test_more_than_2048_buckets_double_their_width_and_are_counted() -> None:
    """Thirty decades do not fit into 2,048 buckets of one percent: the widths double, sums stay exact."""
    tally = Tally()
    pairs = sorted((10.0 ** (i / 200), 1.0) for i in range(-3_000, 3_000))
    one = filled(RANDOM.sample(pairs, len(pairs)), tally)
    most = tally.entries
    measurement, counts = taken(one)
    given_back = list(zip(measurement.values, counts, strict=True))

    assert tally.coarsened >= 1
    assert most <= MAX_BUCKETS + VALUES_PER_DATUM + 2
    assert len(measurement.values) <= MAX_BUCKETS + 2
    assert total(given_back) == pytest.approx(total(pairs), rel=1e-12)
    assert (pairs[0][0], pairs[-1][0]) == (measurement.values[0], measurement.values[-1])
    widest = 1.01 ** (2**tally.coarsened) - 1.0
    for q in QUANTILES:
        assert quantile(given_back, q) == pytest.approx(quantile(pairs, q), rel=widest)


def test_coarsening_keeps_signs_apart() -> None:
    pairs = [(sign * 10.0 ** (i / 20), 1.0) for i in range(-1_500, 1_500) for sign in (1.0, -1.0)]
    measurement, counts = taken(filled(RANDOM.sample(pairs, len(pairs))))

    assert sum(count for value, count in zip(measurement.values, counts, strict=True) if value > 0) == 3_000.0


def test_a_taken_distribution_asks_for_its_successor() -> None:
    one = filled([(1.0, 1.0)])
    one.take()

    assert one.until == 0.0
    assert Distribution(60.0, Tally()).take() is None


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 2), weighted),
            st.tuples(st.just("checkpoint"), st.integers(0, 2), st.just([])),
            st.tuples(st.just("take"), st.integers(0, 2), st.just([])),
        ),
        max_size=12,
    ),
)
def test_the_tally_returns_to_zero_after_any_interleaving(steps: list[tuple[str, int, Pairs]]) -> None:
    tally = Tally()
    open_: list[CheckpointedDistribution] = [CheckpointedDistribution(60.0, tally) for _ in range(3)]
    for step, which, pairs in steps:
        if step == "take":
            open_[which].take()
            open_[which] = CheckpointedDistribution(60.0, tally)
        elif step == "add":
            tally.samples += len(pairs)
            for value, weight in pairs:
                open_[which].add(value, weight)
        else:
            open_[which].unsaved(full=False)
        assert tally.entries == sum(one._entries() + one._checkpointed._entries() for one in open_)
        assert tally.samples == sum(one.samples + one._checkpointed.samples for one in open_)
    for one in open_:
        one.take()

    assert (tally.entries, tally.samples) == (0, 0)
